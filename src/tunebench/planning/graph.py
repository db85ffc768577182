"""The stages of dvc.yaml with the names of params.yaml put in, and which of them need which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from tunebench import inputs
from tunebench.config.schema import Params
from tunebench.paths import Run

CHECK = "check"


@dataclass(frozen=True)
class Stage:
    """One stage as DVC names it, `train@tiny-posts-qlora-0.1-0`; `kind` is the part before the @.

    `command`, `dependencies`, `outputs` and `parameters` are those of dvc.yaml, filled in.
    """

    name: str
    kind: str
    run: Run
    command: str
    dependencies: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]

    @property
    def script(self) -> str:
        """The script's name, which twins of the two branches share: `evaluate`."""
        return self.command.removeprefix("python -m stages.").split()[0]


def stages(params: Params) -> list[Stage]:
    """Every stage of the graph, in an order in which they can run."""
    entries = inputs.graph()
    found = [
        stage
        for kind, entry in entries.items()
        for item in _items(entry, params)
        for stage in [_stage(kind, entry, item, params)]
    ]
    return _in_order(found)


def _items(entry: Mapping[str, Any], params: Params) -> Iterator[dict[str, Any]]:
    """The combinations of a stage's matrix; one empty one for a stage without."""
    axes = {name: _listed(reference, params) for name, reference in entry.get("matrix", {}).items()}
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _listed(reference: str, params: Params) -> Sequence[Any]:
    """The list that `${grid.models}` names."""
    value: Any = params
    for key in reference.strip("${} ").split("."):
        value = getattr(value, key)
    return list(value)


def _stage(kind: str, entry: Mapping[str, Any], item: dict[str, Any], params: Params) -> Stage:
    named = "-".join(map(str, item.values()))
    options = " ".join(f"--{key} {value}" for key, value in item.items())
    timed = "${inference.train_size}" in entry["cmd"]
    if timed:  # of one size and seed, which are no axes of its matrix
        item = item | {"train_size": _timed_size(params), "seed": params.grid.seeds[0]}
    run = Run(**item)

    def filled(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(inputs.filled_in(text, run) for text in texts)

    (command,) = filled([entry["cmd"].replace("${item}", options)])
    outputs = [next(iter(out)) if isinstance(out, dict) else out for out in entry["outs"]]
    return Stage(
        name=f"{kind}@{named}" if named else kind,
        kind=kind,
        run=run,
        command=command,
        dependencies=filled(entry.get("deps", ())),
        outputs=filled(outputs),
        parameters=filled(entry.get("params", ())),
    )


def _timed_size(params: Params) -> int | float | None:
    return params.inference.timing.train_size


def upstream(all_stages: Sequence[Stage]) -> dict[str, set[str]]:
    """The names of the stages that each stage needs, directly or not, by its name."""
    makers: dict[str, str] = {}  # by output
    inside: dict[str, set[str]] = {}  # by a folder that outputs stand in
    for stage in all_stages:
        for output in stage.outputs:
            makers[output] = stage.name
            for folder in _folders(output):
                inside.setdefault(folder, set()).add(stage.name)
    found: dict[str, set[str]] = {}
    by_name = {stage.name: stage for stage in all_stages}

    def needed(name: str) -> set[str]:
        if name not in found:
            direct = {
                maker
                for dependency in by_name[name].dependencies
                for maker in (
                    *inside.get(dependency, ()),
                    *(makers[place] for place in (dependency, *_folders(dependency))
                      if place in makers),
                )
            }  # fmt: skip
            found[name] = direct.union(*map(needed, direct))
        return found[name]

    return {stage.name: needed(stage.name) for stage in all_stages}


def _folders(path: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(path).parents][:-1]


def _in_order(found: Sequence[Stage]) -> list[Stage]:
    """The stages so that each stands behind those that it needs, else as in dvc.yaml."""
    needs = upstream(found)
    placed: dict[str, Stage] = {}
    by_name = {stage.name: stage for stage in found}
    for stage in found:
        needed = sorted(needs[stage.name], key=lambda name: len(needs[name]))
        for name in [*needed, stage.name]:
            placed.setdefault(name, by_name[name])
    return list(placed.values())
