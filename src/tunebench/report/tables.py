"""The records as tables, written as CSV under `metrics/`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import cells, inference
from tunebench.report.summary import Record

Row = dict[str, Any]


def build(records: Sequence[Record]) -> dict[str, list[Row]]:
    """The tables by name: quality of each task, cost of training, cost of inference."""
    tables = {
        task: _table([record for record in records if record.task == task], _quality)
        for task in dict.fromkeys(record.task for record in records)
    }
    tables["training"] = _table(records, _training)
    columns = inference.columns(records)
    tables["inference"] = [
        _identity(record) | row for record in records for row in inference.rows(record, columns)
    ]
    return {name: rows for name, rows in tables.items() if rows}


def searches(params: Params) -> dict[str, list[Row]]:
    """The table `search`: every trial of each hyperparameter search, and which was chosen."""
    rows = [
        {
            "model": run.model,
            "dataset": run.dataset,
            "method": run.method,
            "train_size": run.train_size,
            "seed": run.seed,
            **trial,
            "chosen": "yes" if int(number) == run_metrics["chosen_trial"] else "no",
        }
        for run in _tuned(params, params.grid.seeds)
        for run_metrics in [results.read(paths.train(run))]
        for number, trial in run_metrics.get("search", {}).items()
    ]
    return {"search": rows} if rows else {}


# every plot that dvc.yaml names has a file, without rows too: DVC warns of one that is missing
PLOTS = {
    "learning_curve": ("panel", "method", "train_rows", "score"),
    "loss": ("panel", "method", "step", "loss"),
    "confusion": ("panel", "gold", "answer", "rows"),
    "costs": ("panel", "method", "requests", "usd"),
}


def plots(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """Data of the DVC plots by name: the headline metric by training rows, the loss by step."""
    curves = _learning_curve(records, params.grid.models)
    return {"learning_curve": list(curves), "loss": list(_losses(params))}


def write(path: Path, rows: Sequence[Row], *, columns: Sequence[str] = ()) -> None:
    """Write rows as CSV, atomically; cells of missing columns are empty, all are `cells.safe`.

    Args:
        columns: those that come first, and stand there even without rows.
    """
    columns = [*dict.fromkeys((*columns, *(column for row in rows for column in row)))]
    with (
        results.replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(cells.safe, columns))
        writer.writerows([cells.safe(row.get(column, "")) for column in columns] for row in rows)


def _quality(record: Record) -> dict[str, Any]:
    if not record.quality:
        return {record.headline: None, "note": record.note}
    return {**record.quality, **record.chosen}


def _training(record: Record) -> dict[str, Any]:
    failed = "machine_s" in record.training and "train_s" not in record.training
    return record.training | ({"note": record.note} if failed else {})


def _table(records: Iterable[Record], values: Callable[[Record], dict[str, Any]]) -> list[Row]:
    return [_identity(record) | cells for record in records if (cells := values(record))]


def _identity(record: Record) -> Row:
    return {
        "model": record.model,
        "dataset": record.dataset,
        "method": record.method,
        "train_size": record.train_size,
        "train_rows": record.train_rows,
        "seeds": record.seeds,
    }


def _learning_curve(records: Sequence[Record], models: Sequence[str]) -> Iterable[Row]:
    for model, record in product(models, records):
        if record.quality and (record.model == model or record.beside_models):
            yield {
                "panel": f"{model}, {record.dataset}: {record.headline}",
                "method": record.series,
                "train_rows": record.train_rows,
                "score": record.quality[record.headline],
            }


def _tuned(params: Params, seeds: Sequence[int]) -> list[Run]:
    grid = params.grid
    return [
        Run(model, dataset, method, size, seed)
        for model in grid.models
        for dataset in grid.datasets
        for method in grid.tuning
        for size in grid.train_sizes
        for seed in seeds
    ]


def _losses(params: Params) -> Iterable[Row]:
    for run in _tuned(params, params.grid.seeds[:1]):  # curves of other seeds would overlap
        with paths.losses(run).open(newline="") as file:
            for entry in csv.DictReader(file, delimiter="\t"):
                yield {
                    "panel": f"{run.model}, {run.dataset}: train size {run.train_size}",
                    "method": run.method,
                    "step": int(entry["step"]),
                    "loss": float(entry["loss"]),
                }
