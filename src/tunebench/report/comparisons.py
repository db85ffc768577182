"""Which of two methods is better on the same test rows, and whether that is significant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tunebench import metrics, paths, results
from tunebench.config.schema import Params
from tunebench.errors import EvaluationError
from tunebench.metrics import paired
from tunebench.paths import Run
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row


@dataclass(frozen=True)
class _Method:
    """A method's headline metric on each test row, one list per seed or draw of examples."""

    name: str
    values: list[list[float]]


def build(params: Params, records: Sequence[Record] = ()) -> dict[str, list[Row]]:
    """The table `comparisons`: each pair of methods on one model, data set and train size.

    `difference` is the first method's mean minus the second's, with its 95% interval and the
    p-value of zero (`metrics.paired`). `p_adjusted` is Holm's correction over a `family`: the pairs
    of one model and data set. The two are `distinguishable` if it is below 5%.

    Args:
        records: of the same grid; a row is marked where one of its scores is optimistic.

    Raises:
        EvaluationError: if two predictions are not of the same test rows.
    """
    grid = params.grid
    caveats = {_key(vars(record)): record.caveat for record in records}
    rows = [
        row | caveats.get(_key(row), {}) | caveats.get(_key(row | {"method": row["other"]}), {})
        for model in grid.models
        for dataset in grid.datasets
        for row in _adjusted(list(_of_dataset(params, model, dataset)))
    ]
    return {"comparisons": rows} if rows else {}


def _key(place: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(place[name]) for name in ("model", "dataset", "method", "train_size"))


def _adjusted(family: Sequence[Row]) -> Iterator[Row]:
    """The rows with their p-values adjusted for one another."""
    adjusted = paired.holm([row["p"] for row in family])
    for row, p in zip(family, adjusted, strict=True):
        yield row | {
            "p": results.rounded(row["p"], 3),
            "p_adjusted": results.rounded(p, 3),
            "family": f"{row['model']}, {row['dataset']}: {len(family)} pairs",
            "distinguishable": "yes" if p < paired.SIGNIFICANCE else "no",
        }


def _of_dataset(params: Params, model: str, dataset: str) -> Iterator[Row]:
    grid, metric = params.grid, metrics.HEADLINE[params.dataset(dataset).task]
    row_ids: dict[Run, list[str]] = {}

    def method(name: str, runs: Sequence[Run]) -> _Method | None:
        found = [row_values(run, metric, row_ids) for run in runs]
        return (
            _Method(name, [values for draws in found for values in draws]) if all(found) else None
        )

    prompting = [method(name, [Run(model, dataset, name)]) for name in grid.prompting]
    prompted = [compared for compared in prompting if compared is not None]
    place: Row = {"model": model, "dataset": dataset}
    for row in _pairs(prompted, [], metric):
        yield place | {"train_size": NO_ROWS} | row
    for size in grid.train_sizes if grid.tuning else []:
        tuned = [
            method(name, [Run(model, dataset, name, size, seed) for seed in grid.seeds])
            for name in grid.tuning
        ]
        for row in _pairs(
            prompted, [compared for compared in tuned if compared is not None], metric
        ):
            yield place | {"train_size": size} | row


def row_values(run: Run, metric: str, row_ids: dict[Run, list[str]]) -> list[list[float]]:
    """The headline metric on each row, one list for each draw; empty if there is no score.

    Args:
        row_ids: collects the ids of the runs so far.
    """
    by_draw: defaultdict[int, list[Row]] = defaultdict(list)
    for row in results.read_lines(paths.predictions(run)):
        by_draw[row.get("draw", 0)].append(row)
    for predictions in by_draw.values():
        row_ids[run] = [str(row["id"]) for row in predictions]
        first = next(iter(row_ids))
        if row_ids[run] != row_ids[first]:
            raise EvaluationError(
                f"{paths.predictions(run)}: is of other test rows than {paths.predictions(first)};"
                " run `dvc repro`"
            )
    return [
        [
            float(row["answer"] == row["gold"])
            if metric == "accuracy"
            else float(row["rouge"][metric])
            for row in predictions
        ]
        for predictions in by_draw.values()
    ]


def _pairs(prompted: Sequence[_Method], tuned: Sequence[_Method], metric: str) -> Iterator[Row]:
    """All pairs whose second method is tuned; if no method is tuned, all pairs."""
    for first, second in combinations([*prompted, *tuned], 2):
        if second in tuned or not tuned:
            yield _compare(first, second, metric)


def _compare(first: _Method, second: _Method, metric: str) -> Row:
    compared = paired.compare(first.values, second.values)
    low, high = compared.interval
    return {
        "metric": metric,
        "method": first.name,
        "other": second.name,
        "difference": results.rounded(compared.difference, 4),
        "difference_low": results.rounded(low, 4),
        "difference_high": results.rounded(high, 4),
        "p": compared.p,
    }
