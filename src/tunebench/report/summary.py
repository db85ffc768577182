"""Every metric of the grid, gathered: one record for each model, data set, method and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from tunebench import cost, metrics, paths, results, statistics
from tunebench.config.schema import Params
from tunebench.paths import Run

NO_ROWS = "0"  # the train size of a method that trains on nothing


@dataclass(frozen=True)
class Record:
    """One point of the grid; each metric is the mean over `seeds` runs, with its spread."""

    model: str
    dataset: str
    task: str
    method: str
    train_size: str
    train_rows: int
    seeds: int
    quality: dict[str, float]
    training: dict[str, float]
    inference: dict[str, float]
    note: str = ""  # why there is no quality

    @property
    def headline(self) -> str:
        """The metric that the task is judged by first."""
        return metrics.HEADLINE[self.task]


def collect(params: Params) -> list[Record]:
    """Read the metrics of every run that the grid names.

    Raises:
        SourceError: if one of them has not been made yet.
    """
    return [
        record
        for model in params.grid.models
        for dataset in params.grid.datasets
        for record in _of_dataset(params, model, dataset)
    ]


def nest(records: list[Record]) -> dict[str, Any]:
    """The records as model → data set → method → train size → metric."""
    nested: dict[str, Any] = {}
    for record in records:
        methods = nested.setdefault(record.model, {}).setdefault(record.dataset, {})
        sizes = methods.setdefault(record.method, {})
        quality = record.quality or {"does_not_fit": True}
        sizes[record.train_size] = quality | record.training | record.inference
    return nested


def _of_dataset(params: Params, model: str, dataset: str) -> Iterator[Record]:
    task = params.dataset(dataset).task
    price = params.hardware.usd_per_hour
    for method in params.grid.prompting:
        run = Run(model, dataset, method)
        evaluated = results.read(paths.evaluation(run))
        yield Record(
            model, dataset, task, method, NO_ROWS, 0, 1,
            quality=_quality([evaluated]),
            training={},
            inference=_inference(results.read(paths.timing(run)), price),
            note=_note(evaluated),
        )  # fmt: skip
    for method in params.grid.tuning:
        for size in params.grid.train_sizes:
            runs = [Run(model, dataset, method, size, seed) for seed in params.grid.seeds]
            trained = [results.read(paths.train(run)) for run in runs]
            timed = str(size) == str(params.inference.train_size)
            yield Record(
                model, dataset, task, method, str(size), int(trained[0]["rows"]), len(runs),
                quality=_quality([results.read(paths.evaluation(run)) for run in runs]),
                training=_training(trained, price),
                inference=_inference(results.read(paths.timing(runs[0])), price) if timed else {},
            )  # fmt: skip


def _quality(runs: list[results.Metrics]) -> dict[str, float]:
    """Each metric with its 95% interval: the run's own, or that of the mean over the seeds."""
    found = {}
    for name in (name for name in runs[0] if name in metrics.QUALITY):
        values = [run[name] for run in runs]
        found[name] = results.rounded(fmean(values))
        ends = metrics.interval(name)
        interval = statistics.over_seeds(values, [(run[ends[0]], run[ends[1]]) for run in runs])
        found |= {end: results.rounded(value) for end, value in zip(ends, interval, strict=True)}
        if len(values) > 1:
            found[f"{name}_stdev"] = results.rounded(stdev(values), 3)
    if all("forgetting" in run for run in runs):  # it has no interval
        found["forgetting"] = results.rounded(fmean(run["forgetting"] for run in runs))
    return found


def _training(runs: list[results.Metrics], price: float) -> dict[str, float]:
    seconds = fmean(run["train_s"] for run in runs)
    return {
        "train_s": results.rounded(seconds, 4),
        "train_peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs),
        "trainable_parameters": runs[0]["trainable_parameters"],
        "adapter_bytes": runs[0]["adapter_bytes"],
        "usd_to_train": results.rounded(cost.usd_to_train(seconds, price), 4),
    }


def _note(evaluated: results.Metrics) -> str:
    if not evaluated.get("does_not_fit"):
        return ""
    needed, available = evaluated["tokens_needed"], evaluated["tokens_available"]
    return f"does not fit: {needed:,} tokens needed, {available:,} there are"


def _inference(timed: results.Metrics, price: float) -> dict[str, float]:
    if timed.get("does_not_fit"):
        return {}
    throughput = {name: timed[name] for name in timed if name.startswith("requests_per_s")}
    best = max(throughput.values())
    names = ("latency_p50_s", "latency_p90_s", "latency_p99_s", "time_to_first_token_p50_s",
             "time_per_output_token_p50_s")  # fmt: skip
    return {
        **{name: timed[name] for name in names if name in timed},
        **throughput,
        "inference_peak_memory_bytes": timed["peak_memory_bytes"],
        "usd_per_1k_requests": results.rounded(cost.usd_per_1k_requests(best, price), 4),
    }
