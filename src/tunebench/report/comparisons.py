"""Which of two methods is better on the same test rows, and whether these rows can tell."""

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

SURE = 0.05  # a smaller p-value, adjusted for their number, tells two methods apart


@dataclass(frozen=True)
class _Method:
    """A method's headline metric on each test row: one list of values for each seed."""

    name: str
    values: list[list[float]]


def build(params: Params) -> dict[str, list[Row]]:
    """The table `comparisons`: each pair of methods on one model, data set and train size.

    `difference` is the first method's mean less the second's, with its 95% interval by the paired
    bootstrap (over the seeds too where there are several). `p` is that of McNemar's exact test
    where two runs' right answers are compared, of the bootstrap elsewhere; `p_adjusted` is Holm's,
    for all rows of the table.

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
        row["distinguishable"] = "yes" if p < SURE else "no"
    return {"comparisons": rows} if rows else {}


def _of_dataset(params: Params, model: str, dataset: str) -> Iterator[Row]:
    grid, metric = params.grid, metrics.HEADLINE[params.dataset(dataset).task]
    known: dict[Run, list[str]] = {}

    def method(name: str, runs: Sequence[Run]) -> _Method | None:
        values = [_values(run, metric, known) for run in runs]
        return _Method(name, values) if all(values) else None

    prompting = [method(name, [Run(model, dataset, name)]) for name in grid.prompting]
    asked = [each for each in prompting if each is not None]
    place: Row = {"model": model, "dataset": dataset}
    for row in _pairs(asked, [], metric):
        yield place | {"train_size": NO_ROWS} | row
    for size in grid.train_sizes if grid.tuning else []:
        tuned = [
            method(name, [Run(model, dataset, name, size, seed) for seed in grid.seeds])
            for name in grid.tuning
        ]
        for row in _pairs(asked, [each for each in tuned if each is not None], metric):
            yield place | {"train_size": size} | row


def _values(run: Run, metric: str, known: dict[Run, list[str]]) -> list[float]:
    """The run's headline metric on each row; `known` holds the rows' names of the runs so far."""
    predictions = results.read_lines(paths.predictions(run))
    if not predictions:  # its examples did not fit
        return []
    known[run] = [str(row["id"]) for row in predictions]
    first = next(iter(known))
    if known[run] != known[first]:
        raise EvaluationError(
            f"{paths.predictions(run)}: is of other test rows than {paths.predictions(first)};"
            " run `dvc repro`"
        )
    if metric == "accuracy":
        return [float(row["answer"] == row["gold"]) for row in predictions]
    return [float(row["rouge"][metric]) for row in predictions]


def _pairs(asked: Sequence[_Method], tuned: Sequence[_Method], metric: str) -> Iterator[Row]:
    """All pairs in which one is tuned; where nothing is tuned, all pairs."""
    methods = [*asked, *tuned]
    if len(methods) < 2:
        return
    draws = statistics.drawn_means([row for method in methods for row in method.values])
    drawn, start = {}, 0
    for method in methods:
        runs = range(start, start := start + len(method.values))
        drawn[method.name] = statistics.over_runs(draws, runs)
    for ours, theirs in combinations(methods, 2):
        if theirs in tuned or not tuned:
            yield _compare(ours, theirs, drawn[ours.name] - drawn[theirs.name], metric)


def _compare(ours: _Method, theirs: _Method, drawn: NDArray[np.float64], metric: str) -> Row:
    (low, high), p = statistics.of_difference(drawn)
    if metric == "accuracy" and len(ours.values) == len(theirs.values) == 1:
        right = ([value == 1.0 for value in method.values[0]] for method in (ours, theirs))
        p = statistics.mcnemar(*right)
    return {
        "metric": metric,
        "method": ours.name,
        "other": theirs.name,
        "difference": results.rounded(_mean(ours) - _mean(theirs), 4),
        "difference_low": results.rounded(low, 4),
        "difference_high": results.rounded(high, 4),
        "p": p,
    }


def _mean(method: _Method) -> float:
    return sum(map(sum, method.values)) / sum(map(len, method.values))
