"""A run that is ready to be used: its settings and its model, or what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench import config, evaluation, models, paths, results
from tunebench.config.baselines import BaselineMethod
from tunebench.config.schema import Evaluation, Params, PromptingMethod
from tunebench.errors import ParameterError, SourceError, suggest
from tunebench.models import outcomes
from tunebench.paths import BASELINE, Run
from tunebench.report import staleness


@dataclass(frozen=True)
class Evaluated:
    """A run with what its answers depend on, whatever answers.

    `trained` is the folder of what was trained and evaluated; None for a prompting run. `card` is
    that of the data set.
    """

    run: Run
    params: Params
    answering: evaluation.Answering
    card: dict[str, Any]
    trained: Path | None

    @property
    def method(self) -> object:
        """The method's settings."""
        return self.params.any_method(self.run.method)

    @property
    def files(self) -> list[Path]:
        """What was trained."""
        folder = self.trained
        files = (
            [] if folder is None else [*folder.glob("*.safetensors"), *folder.glob("model.json")]
        )
        return sorted(files)


@dataclass(frozen=True)
class Ready(Evaluated):
    """A run of a language model; `pin` is that of the base model."""

    base: models.Base
    pin: dict[str, Any]

    @property
    def method(self) -> models.Method:
        """The method's settings."""
        return self.params.method(self.run.method)


def ready(run: Run) -> Ready:
    """The run of a language model as `evaluate` saw it.

    Raises:
        ParameterError: if params.yaml does not define it, or it has no language model.
        SourceError: if it is not trained and evaluated, ended without a model, or was made with
            other settings than params.yaml has.
    """
    found = evaluated(run)
    if not isinstance(found, Ready):
        raise ParameterError(
            [
                f"{run}: has no language model to export; `tunebench predict {run}` answers rows,"
                f" and {found.trained} holds what it learnt"
            ]
        )
    return found


def evaluated(run: Run) -> Evaluated:
    """The run as it was evaluated, with a language model or without.

    Raises:
        ParameterError: if params.yaml does not define it.
        SourceError: as `ready`.
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
    card = results.read(paths.card(run.dataset))
    if run.model == BASELINE:
        answering = evaluation.Answering(card["labels"], Evaluation(), {})
        return Evaluated(run, params, answering, card, _there(paths.adapter(run), run))
    pin = results.read(paths.pin(run.model))
    return Ready(
        run=run,
        params=params,
        base=models.Base.pinned(params.model(run.model), pin),
        answering=evaluation.Answering(
            labels=card["labels"],
            settings=params.evaluation,
            generation=params.generation_for(params.dataset(run.dataset)),
        ),
        pin=pin,
        card=card,
        trained=_trained(run),
    )


def _trained(run: Run) -> Path | None:
    if run.train_size is None:
        return None
    return _there(Path(results.read(paths.selected(run))["trained"]), run)


def _there(trained: Path, run: Run) -> Path:
    if not trained.is_dir():
        raise SourceError(f"{trained}: is not there any more; run: {_repro(run)}")
    return trained


def _check_defined(params: Params, run: Run) -> None:
    """Check that params.yaml defines the names of a run, and that it has the parts of its kind."""
    for kind, name, choices in (
        ("model", run.model, params.models),
        ("data set", run.dataset, params.datasets),
        ("method", run.method, params.methods),
    ):
        if name not in choices and (kind, name) != ("model", BASELINE):
            raise ParameterError(
                [f"{run}: params.yaml defines no {kind} {name!r}; {suggest(name, choices)}"]
            )
    method = params.any_method(run.method)
    if isinstance(method, BaselineMethod) != (run.model == BASELINE):
        whose = Run(BASELINE, run.dataset, run.method, run.train_size, run.seed)
        remedy = f"write {whose}" if run.model != BASELINE else "name the model before it"
        raise ParameterError([f"{run}: is no run of {run.method!r}; {remedy}"])
    task = params.dataset(run.dataset).task
    if isinstance(method, BaselineMethod) and method.task != task:
        raise ParameterError(
            [f"{run}: {run.method!r} is a method of {method.task}, and {run.dataset} is {task}"]
        )
    tuned = not isinstance(method, PromptingMethod)
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
    if run.model == BASELINE:
        axes = [axes[1], ("baselines", run.method, params.baselines_for(run.dataset))]
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
    if run.model == BASELINE:
        return f"dvc repro baselines@{run.dataset}"
    stage = "evaluate_prompting" if run.train_size is None else "evaluate"
    return f"dvc repro {stage}@{str(run).replace('/', '-')}"
