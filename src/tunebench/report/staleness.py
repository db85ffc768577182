"""Results that were made with other settings than those of params.yaml.

DVC runs a stage again whose parameters changed, and a stage refuses an edit while it runs. An edit
in the moment between a stage's end and DVC's hashing is locked with a result that was made without
it, though, and no later `dvc repro` would run that stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from tunebench import paths, results
from tunebench.config.schema import Params, TuningMethod
from tunebench.config.timed import TimedAnswers
from tunebench.errors import SourceError
from tunebench.paths import BASELINE, Run

# settings whose provenance says what they became
RESOLVED = [("dtype", "auto")]


def check(params: Params) -> None:
    """Compare the settings in each run's provenance with the parameters.

    Raises:
        SourceError: with a line for each setting that differs.
    """
    faults = [
        f"{path}: was made with another {name} than params.yaml has, which was edited just then;"
        " remove it and run `dvc repro`"
        for run in runs(params)
        for path, name in differences(params, run)
    ]
    if faults:
        raise SourceError("\n".join(faults))


def differences(params: Params, run: Run) -> list[tuple[Path, str]]:
    """Each provenance of a run, and a setting there that params.yaml has another value of."""
    return [
        (path, name)
        for path, expected in _expected(params, run)
        if path.exists()
        for name in _differing(_written(path), expected)
    ]


def runs(params: Params) -> Iterator[Run]:
    """Every run of the grid that is evaluated."""
    grid = params.grid
    for model in grid.models:
        for dataset in grid.datasets:
            yield from (Run(model, dataset, method) for method in grid.prompting)
            yield from (
                Run(model, dataset, method, size, seed)
                for method in grid.tuning
                for size in grid.train_sizes
                for seed in grid.seeds
            )
    for dataset in grid.datasets:
        yield from (
            Run(BASELINE, dataset, method, size, seed)
            for method in params.baselines_for(dataset)
            for size in grid.train_sizes
            for seed in grid.seeds
        )


def _expected(params: Params, run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Where each stage of a run wrote its provenance, and the settings that stand there."""
    if run.model == BASELINE:
        yield from _expected_of_baseline(params, run)
        return
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    shared = {"model": params.model(run.model), "method": method}
    if isinstance(method, TuningMethod):
        training = params.training_for(dataset, method)
        yield paths.adapter(run) / paths.PROVENANCE, shared | {"training": training}
    generation = params.generation_for(dataset)
    answering = {"evaluation": params.evaluation, "generation": generation}
    yield paths.predictions_provenance(run), shared | answering
    if not params.times(run):
        return
    answers = to_jsonable_python(TimedAnswers.of(params, run.dataset))
    timing = {"inference": params.inference.timing, "answers": answers}
    yield paths.timing_provenance(run), shared | timing
    tested = params.inference.load_test
    if run.method in {*tested.prompting, *tested.tuning}:
        yield paths.served_provenance(run), shared | {"inference": params.inference.serving}


def _expected_of_baseline(params: Params, run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    shared = {"method": params.any_method(run.method)}
    yield paths.adapter(run) / paths.PROVENANCE, shared
    yield paths.predictions_provenance(run), shared
    if params.times(run):
        yield paths.timing_provenance(run), shared | {"inference": params.inference.timing}


def _written(path: Path) -> dict[str, Any]:
    """The settings of a run's provenance, without what params.yaml does not say."""
    settings: dict[str, Any] = results.read(path)["settings"]
    if "model" in settings:  # which a baseline has not
        del settings["model"]["revision"]  # the commit that it was resolved to
    if answering := settings.get("evaluation"):
        settings |= {"evaluation": answering["settings"], "generation": answering["generation"]}
    return settings


def _differing(written: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """The names of the settings that differ; those that a search chose are not compared."""
    searched = getattr(expected["method"], "search", {})
    for name, settings in expected.items():
        if isinstance(settings, BaseModel):
            same = _has_fields(written[name], settings)
        else:
            left, right = (
                {key: value for key, value in side.items() if key not in searched}
                for side in (written[name], settings)
            )
            same = left == right
        if not same:
            yield name


def _has_fields(written: Mapping[str, Any], settings: BaseModel) -> bool:
    """Whether a section was as it is; one that a later version added counts only if it is set."""
    values = settings.model_dump(mode="json")
    chosen = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    unresolved = chosen.keys() - {"revision"}
    return unresolved <= written.keys() and all(
        value == written[name]
        for name, value in values.items()
        if name in written and (name, value) not in RESOLVED
    )
