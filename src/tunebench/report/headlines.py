"""One small file of metrics for each data set, method and size: what `dvc metrics show` compares.

The keys are the same in every file of a study, and at most ten, so that DVC's table has one row for
each file and fits a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunebench import metrics, results
from tunebench.report.summary import NO_ROWS, OPTIMISTIC, Record

QUALITY = {
    "classification": ("accuracy", "macro_f1"),
    "summarization": ("rouge1", "rougeL"),
}
COSTS = ("train_s", "latency_p50_s", "usd_per_1k_requests")


def build(records: Iterable[Record]) -> dict[Path, dict[str, Any]]:
    """The files by their paths within `metrics/summary/`.

    `plus_minus` is half the width of the 95% interval of the task's first metric. Missing values
    are null: the other task's metrics, training seconds of a prompting method, the price if the
    machine has none. `status` is `optimistic` where the test rows chose the epoch. Latency and
    price are those of the merged model where there is one: that is what would be deployed.
    """
    records = list(records)
    several = len({record.model for record in records if not record.beside_models}) > 1
    tasks = {record.task for record in records}
    quality = [name for task, names in QUALITY.items() if task in tasks for name in names]
    return {
        _place(record, several=several): {
            "status": OPTIMISTIC if record.optimistic else record.status,
            **{name: record.quality.get(name) for name in quality},
            "plus_minus": _plus_minus(record),
            **{name: cost(record.training | record.inference, name) for name in COSTS},
        }
        for record in records
    }


def write(folder: Path, files: dict[Path, dict[str, Any]]) -> None:
    """Write the files, replacing those of an earlier study."""
    with results.replacing_folder(folder) as temporary:
        for path, content in files.items():
            results.write(temporary / path, content)


def _place(record: Record, *, several: bool) -> Path:
    size = "" if record.train_size == NO_ROWS else f"-{record.train_size}"
    model = Path(record.model) if several else Path()
    return model / record.dataset / f"{record.method}{size}.json"


def cost(measured: Mapping[str, Any], name: str) -> float | None:
    """One of a run's costs, that of the merged model where there is one."""
    value: float | None = measured.get(f"merged_{name}", measured.get(name))
    return value


def _plus_minus(record: Record) -> float | None:
    low, high = (record.quality.get(end) for end in metrics.interval(record.headline))
    return None if low is None or high is None else results.rounded((high - low) / 2, 2)
