"""Which of two methods is better on the same test rows, and whether that is significant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from tunebench import metrics, paths, results
from tunebench.config.schema import Params
from tunebench.errors import EvaluationError
from tunebench.metrics import statistics
from tunebench.paths import Run
from tunebench.report.summary import NO_ROWS
from tunebench.report.tables import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNIFICANCE = 0.05  # of the p-value adjusted for multiple comparisons


@dataclass(frozen=True)
class _Method:
    """A method's headline metric on each test row, one list per seed."""

    name: str
    values: list[list[float]]


def build(params: Params) -> dict[str, list[Row]]:
    """The table `comparisons`: each pair of methods on one model, data set and train size.

    `difference` is the first method's mean minus the second's, with its 95% interval by the paired
    bootstrap (over the seeds too if there are several). `p` is from McNemar's exact test if the
    accuracies of two single runs are compared, else from the bootstrap. `p_adjusted` is Holm's
    correction over all rows of the table.

    Raises:
        EvaluationError: if two predictions are not of the same test rows.
    """
    grid = params.grid
    rows = [
        row
        for model in grid.models
        for dataset in grid.datasets
        for row in _of_dataset(params, model, dataset)
    ]
    adjusted = statistics.holm([row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["p"], row["p_adjusted"] = results.rounded(row["p"], 3), results.rounded(p, 3)
        row["distinguishable"] = "yes" if p < SIGNIFICANCE else "no"
    return {"comparisons": rows} if rows else {}


def _of_dataset(params: Params, model: str, dataset: str) -> Iterator[Row]:
    grid, metric = params.grid, metrics.HEADLINE[params.dataset(dataset).task]
    row_ids: dict[Run, list[str]] = {}

    def method(name: str, runs: Sequence[Run]) -> _Method | None:
        values = [_values(run, metric, row_ids) for run in runs]
        return _Method(name, values) if all(values) else None

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


def _values(run: Run, metric: str, row_ids: dict[Run, list[str]]) -> list[float]:
    """The run's headline metric on each row; `row_ids` collects the ids of the runs so far."""
    predictions = results.read_lines(paths.predictions(run))
    if not predictions:  # it ended without a score
        return []
    row_ids[run] = [str(row["id"]) for row in predictions]
    first = next(iter(row_ids))
    if row_ids[run] != row_ids[first]:
        raise EvaluationError(
            f"{paths.predictions(run)}: is of other test rows than {paths.predictions(first)};"
            " run `dvc repro`"
        )
    if metric == "accuracy":
        return [float(row["answer"] == row["gold"]) for row in predictions]
    return [float(row["rouge"][metric]) for row in predictions]


def _pairs(prompted: Sequence[_Method], tuned: Sequence[_Method], metric: str) -> Iterator[Row]:
    """All pairs whose second method is tuned; if no method is tuned, all pairs."""
    methods = [*prompted, *tuned]
    if len(methods) < 2:
        return
    draws = statistics.bootstrap_means([row for method in methods for row in method.values])
    means, start = {}, 0
    for method in methods:
        runs = range(start, start := start + len(method.values))
        means[method.name] = statistics.over_runs(draws, runs)
    for first, second in combinations(methods, 2):
        if second in tuned or not tuned:
            yield _compare(first, second, means[first.name] - means[second.name], metric)


def _compare(first: _Method, second: _Method, differences: NDArray[np.float64], metric: str) -> Row:
    (low, high), p = statistics.of_difference(differences)
    if metric == "accuracy" and len(first.values) == len(second.values) == 1:
        correct = ([value == 1.0 for value in method.values[0]] for method in (first, second))
        p = statistics.mcnemar(*correct)
    return {
        "metric": metric,
        "method": first.name,
        "other": second.name,
        "difference": results.rounded(_mean(first) - _mean(second), 4),
        "difference_low": results.rounded(low, 4),
        "difference_high": results.rounded(high, 4),
        "p": p,
    }


def _mean(method: _Method) -> float:
    return sum(map(sum, method.values)) / sum(map(len, method.values))
