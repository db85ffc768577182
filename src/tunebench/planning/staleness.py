"""Which stages `dvc repro` would run, as far as dvc.lock and the files tell before it runs.

DVC's own status imports for a second and hashes for another; this takes a tenth of that. A stage
behind a stale one counts as stale, though DVC skips it where what it reads comes out unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunebench import inputs, paths
from tunebench.doctor import yaml12
from tunebench.errors import SourceError
from tunebench.planning import graph
from tunebench.planning.digests import Digests
from tunebench.planning.graph import Stage

LOCK = Path("dvc.lock")
REMEDY = f"restore it: git checkout -- {LOCK}; or remove it, and all stages run again"


def locked() -> dict[str, Any]:
    """The stages of dvc.lock by name; empty where there is none.

    Raises:
        SourceError: if it is damaged.
    """
    if not LOCK.exists():
        return {}
    content = yaml12.read(LOCK)
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_whole, stages.values())):
        raise SourceError(f"{LOCK}: is damaged; {REMEDY}")
    return stages


def _is_whole(entry: Any) -> bool:
    """Whether an entry is all there: DVC writes its lock in place, and may be killed meanwhile."""
    return isinstance(entry, dict) and all(
        isinstance(file, dict) and isinstance(file.get("path"), str)
        for section in ("deps", "outs")
        for file in entry.get(section) or []
    )


def stale(
    stages: Sequence[Stage], digests: Digests, lock: Mapping[str, Any], *, forced: bool = False
) -> dict[str, str]:
    """Why each stage that would run would, by its name.

    Args:
        stages: in an order in which they can run.
        forced: all run, as by `dvc repro --force`.
    """
    needs = graph.upstream(stages)
    values = yaml12.read(paths.PARAMS)
    found: dict[str, str] = {}
    for stage in stages:
        behind = [name for name in needs[stage.name] if name in found and name != graph.CHECK]
        if forced or stage.kind == graph.CHECK:
            found[stage.name] = "always"
        elif reason := next(_reasons(stage, lock.get(stage.name), digests, values), ""):
            found[stage.name] = reason
        elif behind:
            found[stage.name] = f"after {behind[0]}"
    return found


def _reasons(
    stage: Stage, entry: Mapping[str, Any] | None, digests: Digests, values: Any
) -> Iterator[str]:
    """What differs from what is locked."""
    if entry is None:
        yield "has not run"
        return
    if entry.get("cmd") != stage.command:
        yield "its command changed"
    parameters = (entry.get("params") or {}).get(str(paths.PARAMS), {})
    for name in stage.parameters:
        if name not in parameters or parameters[name] != inputs.value_of(values, name):
            yield f"{name} changed"
    for section, named in (("deps", stage.dependencies), ("outs", stage.outputs)):
        files = {file["path"]: file.get("md5") for file in entry.get(section) or []}
        for path in named:
            if path not in files or digests.of(path) != files[path]:
                there = "changed" if digests.of(path) else "is not there"
                yield f"{path} {there}"
