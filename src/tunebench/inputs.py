"""What a stage depends on, as dvc.yaml names it, and whether that changed while the stage ran.

DVC hashes dependencies and parameters after a stage has run. Without this check, an edit meanwhile
would be locked with a result that was made without it, and the next `dvc repro` would skip the
stage.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench.errors import ChangedError
from tunebench.paths import GRAPH, PARAMS, Run

# larger files are compared by size and time of modification alone
HASHED_BYTES = 1 << 20
Fingerprint = tuple[int, int | str]


@dataclass(frozen=True)
class Inputs:
    """The tracked parameters and the files of one stage's run, as they were when it began.

    `parameters` are dotted names, `text` is the whole of params.yaml; `dependencies` are files and
    folders, and `files` all that is in them.
    """

    parameters: tuple[str, ...]
    text: bytes
    dependencies: tuple[str, ...]
    files: Mapping[Path, Fingerprint]

    @classmethod
    def of(cls, run: Run) -> Inputs | None:
        """Those of the stage that DVC is running; None for a script that was started by hand."""
        stage = os.environ.get("DVC_STAGE")
        if stage is None or not GRAPH.exists():
            return None
        entry = graph()[re.split("[:@]", stage.removeprefix(f"{GRAPH}:"))[0]]
        dependencies, parameters = (
            tuple(filled_in(text, run) for text in entry.get(kind, ()))
            for kind in ("deps", "params")
        )
        return cls(parameters, PARAMS.read_bytes(), dependencies, _fingerprints(dependencies))

    def check(self) -> None:
        """Check that they are as they were.

        Raises:
            ChangedError: with a line for each that changed.
        """
        changed = [*self._changed_parameters(), *self._changed_files()]
        if changed:
            remedy = "changed while this stage ran; its result is discarded: run `dvc repro` again"
            raise ChangedError("\n".join(f"{name} {remedy}" for name in changed))

    def _changed_parameters(self) -> Iterator[str]:
        now = PARAMS.read_bytes() if PARAMS.exists() else b""
        if now == self.text:
            return
        before, after = _parsed(self.text), _parsed(now)
        for name in self.parameters:
            if value_of(before, name) != value_of(after, name):
                yield f"{PARAMS}: {name}"

    def _changed_files(self) -> Iterator[str]:
        now = _fingerprints(self.dependencies)
        for path in sorted({*self.files, *now}):
            if self.files.get(path) != now.get(path):
                yield str(path)


def graph() -> dict[str, Any]:
    """The stages of dvc.yaml, as they are written there."""
    import yaml

    stages: dict[str, Any] = yaml.load(GRAPH.read_bytes(), Loader=yaml.CSafeLoader)["stages"]
    return stages


def filled_in(text: str, run: Run) -> str:
    """A dependency of dvc.yaml with this run's names put in."""
    values = {f"item.{name}": value for name, value in vars(run).items()}
    values |= {"inference.train_size": run.train_size, "grid.seeds[0]": run.seed}
    return re.sub(r"\$\{(.+?)\}", lambda found: str(values[found[1]]), text)


def _fingerprints(dependencies: Iterable[str]) -> dict[Path, Fingerprint]:
    """The fingerprint of each file, in folders too."""
    return {
        file: _fingerprint(file)
        for path in map(Path, dependencies)
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.is_file() and "__pycache__" not in file.parts
    }


def _fingerprint(path: Path) -> Fingerprint:
    status = path.stat()
    if status.st_size > HASHED_BYTES:
        return status.st_size, status.st_mtime_ns
    return status.st_size, hashlib.sha256(path.read_bytes()).hexdigest()


def _parsed(text: bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, UnicodeDecodeError):
        return None  # which has none of the names


def value_of(parameters: Any, name: str) -> Any:
    """The value of a dotted name; None where it is missing."""
    for key in name.split("."):
        parameters = parameters.get(key) if isinstance(parameters, Mapping) else None
    return parameters
