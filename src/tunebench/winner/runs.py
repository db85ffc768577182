"""A run that is ready to be used: its settings and its model, or what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench import config, evaluation, models, paths, results
from tunebench.config.schema import Params, TuningMethod
from tunebench.errors import ParameterError, SourceError, suggest
from tunebench.models import outcomes
from tunebench.paths import BASELINE, Run
from tunebench.report import staleness


@dataclass(frozen=True)
class Ready:
    """A run with all that its answers depend on.

    `trained` is the folder of the tuned model that was evaluated; None for a prompting run. `pin`
    is that of the base model, `card` that of the data set.
    """

    run: Run
    params: Params
    base: models.Base
    method: models.Method
    answering: evaluation.Answering
    pin: dict[str, Any]
    card: dict[str, Any]
    trained: Path | None


def ready(run: Run) -> Ready:
    """The run as `evaluate` saw it.

    Raises:
        ParameterError: if params.yaml does not define it.
        SourceError: if it is not trained and evaluated, ended without a model, or was made with
            other settings than params.yaml has.
    """
    params = config.load()
    _check_defined(params, run)
    metrics = paths.evaluation(run)
    if not metrics.exists() or not paths.predictions(run).exists():
        raise SourceError(_missing(params, run))
    for path, name in staleness.differences(params, run):
        if path.parent in (paths.adapter(run), paths.answers(run)):
            raise SourceError(
                f"{path}: was made with another {name} than params.yaml has; run: {_repro(run)}"
            )
    if note := outcomes.note(results.read(metrics)):
        raise SourceError(f"{run}: has no answers: {note}; choose another run")
    pin, card = results.read(paths.pin(run.model)), results.read(paths.card(run.dataset))
    dataset = params.dataset(run.dataset)
    return Ready(
        run=run,
        params=params,
        base=models.Base.pinned(params.model(run.model), pin),
        method=params.method(run.method),
        answering=evaluation.Answering(
            labels=card["labels"],
            settings=params.evaluation,
            generation=params.generation_for(dataset),
        ),
        pin=pin,
        card=card,
        trained=_trained(run),
    )


def _trained(run: Run) -> Path | None:
    if run.train_size is None:
        return None
    trained = Path(results.read(paths.selected(run))["trained"])
    if not trained.is_dir():
        raise SourceError(f"{trained}: is not there any more; run: {_repro(run)}")
    return trained


def _check_defined(params: Params, run: Run) -> None:
    """Check that params.yaml defines the names of a run, and that it has the parts of its kind."""
    if run.model == BASELINE:
        raise ParameterError(
            [
                f"{run}: has no language model to answer or to export; what it learnt is in"
                f" {paths.adapter(run)}, and tunebench.baselines.kinds.load reads it"
            ]
        )
    for kind, name, choices in (
        ("model", run.model, params.models),
        ("data set", run.dataset, params.datasets),
        ("method", run.method, params.methods),
    ):
        if name not in choices:
            raise ParameterError(
                [f"{run}: params.yaml defines no {kind} {name!r}; {suggest(name, choices)}"]
            )
    tuned = isinstance(params.method(run.method), TuningMethod)
    if tuned and run.train_size is None:
        grid = params.grid
        example = f"{grid.train_sizes[-1]}-{grid.seeds[0]}" if grid.train_sizes else "1.0-0"
        raise ParameterError([f"{run}: is tuned; add its size and seed, as {run}/{example}"])
    if not tuned and run.train_size is not None:
        asked = Run(run.model, run.dataset, run.method)
        raise ParameterError([f"{run}: is a prompting method, without a size; write {asked}"])


def _missing(params: Params, run: Run) -> str:
    """What to do about a run without results."""
    grid = params.grid
    axes: list[tuple[str, object, Iterable[object]]] = [
        ("models", run.model, grid.models),
        ("datasets", run.dataset, grid.datasets),
        ("prompting" if run.train_size is None else "tuning", run.method,
         grid.prompting if run.train_size is None else grid.tuning),
    ]  # fmt: skip
    if run.train_size is not None:
        axes.append(("train_sizes", run.train_size, grid.train_sizes))
        axes.append(("seeds", run.seed, grid.seeds))
    for axis, value, names in axes:
        if str(value) not in map(str, names):
            return (
                f"{run}: has not run, and grid.{axis} of params.yaml has no {value};"
                f" {suggest(value, map(str, names))} Or add it there and run `dvc repro`"
            )
    done = "evaluated" if paths.adapter(run).exists() or run.train_size is None else "trained"
    return f"{run}: is not {done} yet; run: {_repro(run)}"


def _repro(run: Run) -> str:
    """The command that makes a run's results; DVC names stages with its options and hyphens."""
    stage = "evaluate_prompting" if run.train_size is None else "evaluate"
    return f"dvc repro {stage}@{str(run).replace('/', '-')}"
