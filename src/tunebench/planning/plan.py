"""The plan of a repository: the stages that would run, and what each and all will take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunebench import config, countdown, paths, results
from tunebench.config.schema import Params
from tunebench.errors import SourceError
from tunebench.estimates import sizes
from tunebench.estimates.seconds import Speed
from tunebench.estimates.sizes import Size
from tunebench.planning import check_files, device, downloads, remedies
from tunebench.planning.device import Device
from tunebench.planning.downloads import Download
from tunebench.planning.graph import Stage
from tunebench.planning.history import History, of_metrics
from tunebench.planning.prediction import Predictor
from tunebench.planning.state import State
from tunebench.planning.work import Work

PREDICTIONS = paths.PLAN / "predictions.json"
USABLE = 0.95  # of the memory: the system itself needs some


@dataclass(frozen=True)
class Prediction:
    """What one stage will take; `peak_bytes` is 0 where it loads no model, or one of unknown size.

    `remedy` is the smallest change with which it fits; empty if it does.
    """

    stage: Stage
    reason: str
    seconds: float
    peak_bytes: int
    trained_tokens: float
    read_tokens: float
    written_tokens: float
    bytes: float
    remedy: str = ""


@dataclass(frozen=True)
class Plan:
    """All that would run, in order; `unknown` has a line for each model or data set that is."""

    params: Params
    stages: Sequence[Stage]
    predictions: list[Prediction]
    device: Device
    downloads: list[Download] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all stages, one after the other."""
        return sum(one.seconds for one in self.predictions)

    @property
    def usd(self) -> float:
        """By the machine's price."""
        return self.params.hardware.usd_per_hour * self.seconds / 3600


def make(*, offline: bool = False, probe: bool = False) -> Plan:
    """The plan of the repository in this folder.

    Args:
        offline: ask the Hub for nothing.
        probe: make two real steps of each model and method that would train.

    Raises:
        ParameterError: if params.yaml, or what it names, has a fault, as `check` says it.
        SourceError: outside of a repository, or if dvc.lock is damaged.
    """
    if not paths.GRAPH.exists() or not Path(".dvc").is_dir():
        raise SourceError(
            f"{paths.GRAPH}: is not in {Path.cwd()}, or DVC is not set up there; cd <your clone of"
            " tunebench>, or: dvc init"
        )
    params = config.load()
    with TemporaryDirectory(prefix="tunebench.") as folder:
        check_files.write(params, Path(folder))
        state = State.of(params, Path(folder))
    work, plan = _planned(state, quickly=False, probe=probe)
    work.tokens.save()
    needed = downloads.needed(params, downloaded=state.downloaded, offline=offline)
    return replace(plan, downloads=needed)


def quickly(state: State) -> Plan:
    """The plan within a fraction of a second: with estimated tokens, and without the Hub."""
    return _planned(state, quickly=True)[1]


def _planned(state: State, *, quickly: bool, probe: bool = False) -> tuple[Work, Plan]:
    params = state.params
    work = Work(params, state.downloaded, quickly=quickly)
    known = {name: sizes.of(params.models[name]) for name in params.grid.models}
    predictor = Predictor(work, known, device.here(quickly=quickly))
    history = History(predictor, state.stages, state.lock)
    notes = list(_probe(predictor, history, state.waiting)) if probe else []
    predictions = [
        _predicted(stage, state.stale[stage.name], predictor, history) for stage in state.waiting
    ]
    unknown = [*_unknown(params, known, work), *notes]
    return work, Plan(params, state.stages, predictions, predictor.device, unknown=unknown)


def _probe(predictor: Predictor, history: History, waiting: Sequence[Stage]) -> Iterator[str]:
    """Correct the models by two real steps; a line for each that could not be made."""
    from tunebench.planning import probe

    for stage, found in probe.errors(predictor, waiting):
        if isinstance(found, str):
            yield f"probe of {stage.run.model} by {stage.run.method}: {found}"
        else:
            history.errors.append(found)


def _predicted(stage: Stage, reason: str, predictor: Predictor, history: History) -> Prediction:
    estimate = predictor.of(stage)
    peak = history.peak_bytes(stage, estimate)
    prediction = Prediction(
        stage=stage,
        reason=reason,
        seconds=history.seconds(stage, estimate),
        peak_bytes=peak,
        trained_tokens=estimate.trained if estimate else 0.0,
        read_tokens=estimate.read if estimate else 0.0,
        written_tokens=estimate.written if estimate else 0.0,
        bytes=estimate.bytes if estimate else 0.0,
    )
    available = USABLE * predictor.device.memory_bytes
    if not available or peak <= available:
        return prediction
    return replace(prediction, remedy=_remedy(stage, predictor, history, available))


def _remedy(stage: Stage, predictor: Predictor, history: History, available: float) -> str:
    """The smallest change with which a stage fits."""
    model, estimate = predictor.loaded(stage), predictor.of(stage)
    assert model is not None
    assert estimate is not None
    assert estimate.peak is not None
    # what the models lack of what was measured, of this stage as of its changed self
    factor = history.peak_bytes(stage, estimate) / estimate.peak.total

    def fits(peak: int) -> bool:
        return peak * factor <= available

    if stage.script == "train":
        work = max(predictor.work.trainings(stage.run), key=lambda each: each.rows * each.longest)
        return remedies.of_training(
            model, work, remedies.Places(stage.run.method, stage.run.dataset), fits=fits,
            speed=Speed(predictor.device.flops), kind=predictor.device.kind,
        )  # fmt: skip
    answering = predictor.work.answering(stage.run)
    return remedies.of_answering(model, answering, fits=fits, kind=predictor.device.kind)


def _unknown(params: Params, known: Mapping[str, Size | None], work: Work) -> list[str]:
    """A line for each model and data set that is not known well enough."""
    lines = []
    for name, size in known.items():
        hub = params.models[name].hub
        if size is None:
            lines.append(
                f"models.{name}: {hub or params.models[name].path} is not here yet, and its size"
                " is not known: its stages are counted without their work; fetch it first: dvc"
                f" repro fetch_model@{name}"
            )
        elif size.known_by == "name":
            lines.append(f"models.{name}: {hub} is not here yet; its size is read from its name")
    for name in params.grid.datasets:
        if not work.rows(name).sample:
            lines.append(
                f"datasets.{name}: its rows are not here yet, and their lengths are not known:"
                f" 256 tokens are assumed; download them first: dvc repro download@{name}"
            )
    return lines


def keep(plan: Plan) -> None:
    """Keep the predictions, to be compared with what happens."""
    now = round(time.time())
    kept = _kept() | {
        one.stage.name: {
            "seconds": results.rounded(one.seconds, 4),
            "peak_bytes": one.peak_bytes,
            "at": now,
        }
        for one in plan.predictions
    }
    results.write(PREDICTIONS, kept)


def _kept() -> dict[str, Any]:
    return results.earlier(PREDICTIONS) or {}


def compared(all_stages: Sequence[Stage]) -> list[tuple[Stage, dict[str, Any], dict[str, Any]]]:
    """The stages that ran after they were predicted: with the prediction, and what happened."""
    kept = _kept()
    ended: dict[str, dict[str, Any]] = {}
    for line in countdown.read_lines(paths.STAGE_TIMES):
        name = line["stage"]
        if line.get("ended", 0) >= kept.get(name, {}).get("at", 0):
            ended.setdefault(name, line)  # the first run after the prediction
    found = []
    for stage in all_stages:
        entry, predicted = ended.get(stage.name), kept.get(stage.name)
        if entry and predicted:
            happened = of_metrics(stage)
            peak = happened.peak_bytes if happened else 0
            found.append((stage, predicted, entry | {"peak_bytes": peak}))
    return found
