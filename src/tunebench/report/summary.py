"""All metrics of the grid, one record for each model, data set, method and size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from tunebench import metrics, paths, results
from tunebench.config.schema import Hardware, Params
from tunebench.metrics import statistics
from tunebench.models import outcomes
from tunebench.paths import BASELINE, Run
from tunebench.report import prices

NO_ROWS = "0"  # the train size of a prompting method
OPTIMISTIC = "optimistic"  # a score on the rows that chose the epoch

_MEDIANS = ("latency_p50_s", "time_to_first_token_p50_s", "time_per_output_token_p50_s")
_TAILS = ("latency_p90_s", "latency_p99_s")
# latencies in the tables with their intervals; of the tails, or how many prompts these need
LATENCIES = (
    *(name for median in _MEDIANS for name in (median, *metrics.interval(median))),
    *(name for tail in _TAILS for name in (tail, *metrics.interval(tail), f"{tail}_needs")),
)
_MEMORY = ("peak_memory_bytes", "peak_memory_above_baseline_bytes", "reserved_memory_bytes")


@dataclass(frozen=True)
class Record:
    """One point of the grid; each metric is the mean over `seeds` runs, with its spread.

    The runs of a prompting method are its draws of solved examples.
    """

    model: str
    dataset: str
    task: str
    method: str
    train_size: str
    train_rows: int
    seeds: int
    quality: dict[str, float]
    training: dict[str, float]
    inference: dict[str, Any]  # names of the merged model's metrics start with `merged_`
    status: str = "ok"
    note: str = ""  # why there is no quality
    chosen: dict[str, str] = field(default_factory=dict)  # the epoch, if one was selected

    @property
    def beside_models(self) -> bool:
        """Whether it is a baseline, which has no model and stands beside the methods of each."""
        return self.model == BASELINE

    @property
    def headline(self) -> str:
        """The task's first metric."""
        return metrics.HEADLINE[self.task]

    @property
    def optimistic(self) -> bool:
        """Whether the epoch was chosen on the test rows that its quality was measured on."""
        return self.chosen.get("epoch_chosen_on", "").endswith(OPTIMISTIC)

    @property
    def caveat(self) -> dict[str, str]:
        """The column that marks an optimistic quality beside it in a table; else empty."""
        column = "epoch_chosen_on"
        return {column: self.chosen[column]} if self.optimistic else {}

    @property
    def series(self) -> str:
        """The method's name in a plot of its quality."""
        return f"{self.method} ({OPTIMISTIC})" if self.optimistic else self.method


def collect(params: Params) -> list[Record]:
    """Read the metrics of every run of the grid.

    Raises:
        SourceError: if a run's metrics are missing.
    """
    return [
        record
        for model in params.grid.models
        for dataset in params.grid.datasets
        for record in _of_dataset(params, model, dataset)
    ] + [
        record
        for dataset in params.grid.datasets
        for record in _trained(params, BASELINE, dataset, params.baselines_for(dataset))
    ]


def of_model(records: Sequence[Record], model: str, dataset: str) -> list[Record]:
    """The records that are compared with one another: a model's on a data set, and baselines."""
    return [
        record
        for record in records
        if record.dataset == dataset and (record.model == model or record.beside_models)
    ]


def nest(records: Sequence[Record]) -> dict[str, Any]:
    """The records as model → data set → method → train size → metric."""
    nested: dict[str, Any] = {}
    for record in records:
        methods = nested.setdefault(record.model, {}).setdefault(record.dataset, {})
        sizes = methods.setdefault(record.method, {})
        quality: dict[str, Any] = record.quality or {"note": record.note}
        costs = record.training | record.inference
        sizes[record.train_size] = quality | record.chosen | costs
    return nested


def _of_dataset(params: Params, model: str, dataset: str) -> Iterator[Record]:
    task = params.dataset(dataset).task
    machine = params.hardware
    for method in params.grid.prompting:
        run = Run(model, dataset, method)
        prompted = results.read(paths.evaluation(run))
        draws = list(prompted.get("draws", {}).values()) or [prompted]
        yield Record(
            model, dataset, task, method, NO_ROWS, 0, len(draws),
            quality=_quality(draws),
            training={},
            inference=_inference(results.read(paths.timing(run)), machine),
            status=_status(draws),
            note=_note(draws),
        )  # fmt: skip
    yield from _trained(params, model, dataset, params.grid.tuning)


def _trained(params: Params, model: str, dataset: str, methods: Iterable[str]) -> Iterator[Record]:
    """A record for each method that learns from training rows, and each size."""
    task, machine = params.dataset(dataset).task, params.hardware
    for method in methods:
        for size in params.grid.train_sizes:
            runs = [Run(model, dataset, method, size, seed) for seed in params.grid.seeds]
            trained = [results.read(paths.train(run)) for run in runs]
            evaluated = [results.read(paths.evaluation(run)) for run in runs]
            timed = str(size) == str(params.inference.train_size)
            yield Record(
                model, dataset, task, method, str(size), int(trained[0]["rows"]), len(runs),
                quality=_quality(evaluated),
                training=_training(trained, machine.usd_per_hour),
                inference=_inference(results.read(paths.timing(runs[0])), machine) if timed else {},
                chosen=_chosen(evaluated),
                status=_status(evaluated),
                note=_note(evaluated),
            )  # fmt: skip


def _quality(runs: list[results.Metrics]) -> dict[str, float]:
    """Each metric with its 95% interval, of the one run or of the mean over the seeds."""
    if _note(runs):
        return {}
    quality = {}
    for name in (name for name in runs[0] if name in metrics.QUALITY):
        values = [run[name] for run in runs]
        quality[name] = results.rounded(fmean(values))
        ends = metrics.interval(name)
        interval = statistics.over_seeds(values, [(run[ends[0]], run[ends[1]]) for run in runs])
        quality |= {end: results.rounded(value) for end, value in zip(ends, interval, strict=True)}
        if len(values) > 1:
            quality[f"{name}_stdev"] = results.rounded(stdev(values), 3)
    if all("forgetting" in run for run in runs):  # it has no interval
        quality["forgetting"] = results.rounded(fmean(run["forgetting"] for run in runs))
    return quality


def _training(runs: list[results.Metrics], price: float) -> dict[str, float]:
    """Cost and speed of training; of runs that ended without a model, what they cost."""
    machine_s = fmean(run["machine_s"] for run in runs)
    cost = {
        "machine_s": results.rounded(machine_s, 4),
        **_priced("usd_to_train", prices.usd_to_train(machine_s, price)),
    }
    if _note(runs):
        return cost
    means = ("train_s", "tokens_per_s", "model_flops_utilization", "hardware_flops_utilization")
    largest = ("peak_memory_bytes", "peak_memory_above_baseline_bytes", "reserved_memory_bytes")
    shared = ("trainable_parameters", "adapter_bytes")
    known = {name for name in (*means, *largest) if all(name in run for run in runs)}
    return {
        **cost,
        **{
            name: results.rounded(fmean(run[name] for run in runs), 4)
            for name in means
            if name in known
        },
        **{f"train_{name}": max(run[name] for run in runs) for name in largest if name in known},
        **{name: runs[0][name] for name in shared},
    }


def _chosen(runs: list[results.Metrics]) -> dict[str, str]:
    """The selected epoch of each seed and the rows that selected it; empty if none was."""
    if any("epoch" not in run for run in runs):
        return {}
    rows = runs[0]["epoch_chosen_on"] + " rows"
    return {
        "epoch": ", ".join(str(run["epoch"]) for run in runs),
        "epoch_chosen_on": f"{rows}: {OPTIMISTIC}" if runs[0]["optimistic"] else rows,
    }


def _note(runs: list[results.Metrics]) -> str:
    """Why the first run without a score has none; empty if all have one."""
    return next(filter(None, map(outcomes.note, runs)), "")


def _status(runs: list[results.Metrics]) -> str:
    """The status of the first run without a score, else `ok`."""
    return next((status for status in map(outcomes.status, runs) if status != "ok"), "ok")


def _inference(timed: results.Metrics, machine: Hardware) -> dict[str, Any]:
    if outcomes.note(timed):
        return {}
    names = ("quantization", "mergeable", "merged_out_of_memory", "merged_answers_that_differ")
    inference = _form_metrics(timed, "", machine) | {
        name: timed[name] for name in names if name in timed
    }
    return inference | (
        _form_metrics(timed, "merged_", machine) if "merged_latency_p50_s" in timed else {}
    )


def _form_metrics(timed: results.Metrics, prefix: str, machine: Hardware) -> dict[str, Any]:
    """Metrics of the model with its adapter attached, or of the merged one."""
    throughput = {name: timed[name] for name in timed if name.startswith(f"{prefix}requests_per_s")}
    memory = {
        f"{prefix}inference_{name}": timed[prefix + name]
        for name in _MEMORY
        if prefix + name in timed
    }
    return {
        **{
            prefix + name: timed[prefix + name]
            for name in ("output_tokens_mean", *LATENCIES)
            if prefix + name in timed
        },
        **throughput,
        **memory,
        **_price(throughput, prefix, machine),
    }


def _price(throughput: dict[str, float], prefix: str, machine: Hardware) -> dict[str, float]:
    """The price of a thousand requests at the fastest batch size, with its interval.

    Empty if the first batch size ran out of memory.
    """
    sizes = [name for name in throughput if name.rpartition("_")[2].isdecimal()]
    if not sizes:
        return {}
    fastest = max(sizes, key=throughput.__getitem__)
    slow, fast = (throughput.get(end, throughput[fastest]) for end in metrics.interval(fastest))
    usd = prices.of_1k_requests(throughput[fastest], (slow, fast), machine)
    name = f"{prefix}usd_per_1k_requests"
    priced = zip((name, *metrics.interval(name)), (usd.usd, usd.low, usd.high), strict=True)
    return {column: value for each in priced for column, value in _priced(*each).items()}


def _priced(name: str, usd: float) -> dict[str, float]:
    """A price; absent rather than $0 if the machine has none."""
    return {name: results.rounded(usd, 4)} if usd else {}
