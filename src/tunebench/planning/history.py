"""What earlier runs took, against what the models say of them: that corrects the next prediction.

Metrics tell the seconds and peaks of work, here or on another machine, whose speed they tell too;
`countdown` keeps the seconds of whole stages of this one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tunebench import config, countdown, inputs, paths, results
from tunebench.config.schema import Params
from tunebench.doctor import yaml12
from tunebench.errors import TunebenchError
from tunebench.planning.graph import Stage
from tunebench.planning.prediction import DVC_S, FIXED_S, Estimate, Predictor

# what other models, or other kinds of work, may change of a prediction
TRUSTED = 2.0
TRUSTED_BYTES = 0.3
ON_GPU = "reserved_memory_bytes"  # among the metrics of memory on one


@dataclass(frozen=True)
class RunMetrics:
    """What a stage's metrics say: seconds of its work, and its peak in bytes, each 0 if unknown."""

    seconds: float = 0.0
    peak_bytes: int = 0
    on_gpu: bool = False
    flops: float = 0.0


def of_metrics(stage: Stage) -> RunMetrics | None:
    """What a stage's last run measured; None if it left no result."""
    path = {
        "train": paths.train, "evaluate": paths.evaluation, "time_inference": paths.timing,
    }.get(stage.script)  # fmt: skip
    found = results.earlier(path(stage.run)) if path else None
    if not found:
        return None
    try:
        return _of_training(found) if stage.script == "train" else _of_asking(stage, found)
    except (KeyError, TypeError, ZeroDivisionError):
        return None  # it does not fit, ran out of memory, or diverged


def _of_training(found: Mapping[str, Any]) -> RunMetrics:
    share = found["model_flops_utilization"]
    return RunMetrics(
        seconds=found["train_s"] + found["load_s"],
        peak_bytes=found["peak_memory_bytes"],
        on_gpu=ON_GPU in found,
        flops=found["model_flops_per_s"] / share,
    )


def _of_asking(stage: Stage, found: Mapping[str, Any]) -> RunMetrics:
    peaks = [value for name, value in found.items() if "peak_memory_bytes" in name]
    on_gpu = any(ON_GPU in name for name in found)
    if stage.script == "evaluate":
        return RunMetrics(found["evaluate_s"], found["peak_memory_bytes"], on_gpu)
    taken = sum(_requests(found, merged) for merged in ("", "merged_"))
    return RunMetrics(taken, max(peaks), on_gpu)


def _requests(found: Mapping[str, Any], prefix: str) -> float:
    """Seconds of all timed requests, of the attached model or the merged one."""
    if f"{prefix}latency_p50_s" not in found:
        return 0.0
    singles = found[f"{prefix}warmup_requests"] + found["prompts"] * found["repeats"]
    taken = singles * found[f"{prefix}latency_p50_s"]
    for name, rate in found.items():
        size = name.removeprefix(f"{prefix}requests_per_s_batch_")
        if size.isdecimal() and size != "1":
            count = math.ceil(found["prompts"] / int(size)) * found["repeats"] + 1
            taken += int(size) * count / rate
    return float(taken)


@dataclass(frozen=True)
class Error:
    """How far the models were off for one stage: a factor of its seconds, bytes of its peak."""

    stage: Stage
    factor: float
    bytes: float


class History:
    """Corrections of the models by earlier runs.

    Args:
        lock: the stages of dvc.lock, with the parameters that they ran with.
    """

    def __init__(
        self, predictor: Predictor, stages: Sequence[Stage], lock: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.predictor = predictor
        self.stage_times = list(countdown.read_lines(paths.STAGE_TIMES))
        found = {stage.name: of_metrics(stage) for stage in stages if stage.name in lock}
        here = predictor.device.kind == "cuda"
        kept = {name: one for name, one in found.items() if one and one.on_gpu == here}
        speeds = [one.flops for one in kept.values() if one.flops]
        self._flops = median(speeds) if speeds and not here else 0.0
        self.errors = list(self._errors(stages, kept, lock))
        self._fixed = self._fixed_seconds(stages, kept)

    def _errors(
        self, stages: Sequence[Stage], kept: Mapping[str, RunMetrics], lock: Mapping[str, Any]
    ) -> Iterator[Error]:
        raw = yaml12.read(paths.PARAMS)
        for stage in stages:
            measured = kept.get(stage.name)
            if measured is None:
                continue
            ran_with = _locked(lock[stage.name], raw, self.predictor.params)
            if ran_with is None or (
                ran_with is not self.predictor.params and stage.script != "train"
            ):
                continue
            estimate = self.predictor.of(stage, flops=self._flops, params=ran_with)
            if estimate and estimate.seconds and estimate.peak:
                yield Error(
                    stage,
                    measured.seconds / estimate.seconds,
                    measured.peak_bytes - estimate.peak.total,
                )

    def _fixed_seconds(
        self, stages: Sequence[Stage], kept: Mapping[str, RunMetrics]
    ) -> dict[str, float]:
        """Seconds beside the work, by script, of the stages that ran on this machine."""
        by_name = {stage.name: stage for stage in stages}
        found: dict[str, list[float]] = {}
        for entry in {entry["stage"]: entry for entry in self.stage_times}.values():
            stage = by_name.get(entry["stage"])
            if stage is None:
                continue
            measured = kept.get(stage.name)
            if measured is None and stage.script in ("train", "evaluate", "time_inference"):
                continue
            estimate = self.predictor.of(stage)
            beside = estimate.beside if estimate else 0.0
            rest = entry["seconds"] - beside - (measured.seconds if measured else 0.0)
            if rest > 0:
                found.setdefault(stage.script, []).append(rest + DVC_S)
        return {script: median(values) for script, values in found.items()}

    def seconds(self, stage: Stage, estimate: Estimate | None) -> float:
        """Seconds that a stage will take, all in all."""
        fixed = self._fixed.get(stage.script, FIXED_S[stage.script])
        if estimate is None:
            return fixed
        return fixed + estimate.beside + estimate.seconds * self.factor(stage)

    def factor(self, stage: Stage) -> float:
        """By what the estimate seconds of a stage are to be multiplied."""
        group, close = self._like(stage)
        if not group:
            return 1.0
        factor = median(error.factor for error in group)
        return factor if close else min(TRUSTED, max(1 / TRUSTED, factor))

    def peak_bytes(self, stage: Stage, estimate: Estimate | None) -> int:
        """The peak of a stage; 0 where it is not known."""
        if estimate is None or estimate.peak is None:
            return 0
        total = estimate.peak.total
        group, close = self._like(stage)
        more = median(error.bytes for error in group) if group else 0.0
        most = (1.0 if close else TRUSTED_BYTES) * total
        return round(total + max(-most / 2, min(most, more)))

    def _like(self, stage: Stage) -> tuple[list[Error], bool]:
        """The errors of the runs most like a stage, and whether they are of the same method."""
        for number, same in enumerate(SAME):
            wanted = same(stage)
            group = [error for error in self.errors if same(error.stage) == wanted]
            if group:
                return group, number < CLOSE
        return [], False


# the run itself, of other sizes, of the method, of the model, of the kind of work
SAME: tuple[Callable[[Stage], tuple[object, ...]], ...] = (
    lambda stage: (stage.name,),
    lambda stage: (stage.kind, stage.run.model, stage.run.dataset, stage.run.method),
    lambda stage: (stage.kind, stage.run.model, stage.run.method),
    lambda stage: (stage.kind, stage.run.model),
    lambda stage: (stage.kind,),
)
CLOSE = 3


def _locked(entry: Mapping[str, Any], raw: Any, now: Params) -> Params | None:
    """The parameters that a stage ran with: those of now, or with others put in."""
    ran_with = (entry.get("params") or {}).get(str(paths.PARAMS), {})
    changed = {
        name: value for name, value in ran_with.items() if inputs.value_of(raw, name) != value
    }
    if not changed:
        return now
    earlier = copy.deepcopy(raw)
    for name, value in changed.items():
        *sections, last = name.split(".")
        place = earlier
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    try:
        return config.checked(earlier)
    except TunebenchError:
        return None
