"""Which of two methods is better on the same test rows, and whether that is significant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

from tunebench import metrics, results
from tunebench.config.schema import Params
from tunebench.metrics import paired
from tunebench.metrics.paired import Comparison
from tunebench.paths import BASELINE, Run
from tunebench.report import power
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row


@dataclass(frozen=True)
class _Method:
    """A method's headline metric on each test row, one list per seed or draw of examples."""

    name: str
    values: list[list[float]]


@dataclass(frozen=True)
class _Pair:
    """Two methods at one train size, and what the test says of them alone."""

    place: Row
    first: _Method
    second: _Method
    comparison: Comparison


def build(
    params: Params, records: Sequence[Record] = (), scores: ScoreBook | None = None
) -> dict[str, list[Row]]:
    """The table `comparisons`: each pair of methods on one model, data set and train size, and
    of each method with the baselines.

    `difference` is the first method's mean minus the second's, with its 95% interval and the
    p-value of zero (`metrics.paired`). `p_adjusted` is Holm's correction over a `family`: the pairs
    of one model and data set. The two are `distinguishable` if it is below 5%; if not,
    `test_rows_needed` tells them apart in 80% of the cases, should the difference be as large as it
    looks (`power`).

    Args:
        records: of the same grid; a row is marked where one of its scores is optimistic.
        scores: of the runs, as far as they are read already.

    Raises:
        EvaluationError: if two predictions are not of the same test rows.
    """
    grid, scores = params.grid, scores or ScoreBook()
    caveats = {_key(vars(record)): record.caveat for record in records}
    rows = [
        row | caveats.get(_key(row), {}) | caveats.get(_key(row | {"method": row["other"]}), {})
        for model in grid.models
        for dataset in grid.datasets
        for row in _family(list(_of_dataset(params, model, dataset, scores)))
    ]
    return {"comparisons": rows} if rows else {}


def _key(place: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(place[name]) for name in ("model", "dataset", "method", "train_size"))


def _family(pairs: Sequence[_Pair]) -> Iterator[Row]:
    """The rows of pairs whose p-values are adjusted for one another."""
    adjusted = paired.holm([pair.comparison.p for pair in pairs])
    open_pairs = sum(p >= paired.SIGNIFICANCE for p in adjusted)
    for pair, p in zip(pairs, adjusted, strict=True):
        apart, compared = p < paired.SIGNIFICANCE, pair.comparison
        low, high = compared.interval
        level = paired.SIGNIFICANCE / max(1, open_pairs)
        yield pair.place | {
            "method": pair.first.name,
            "other": pair.second.name,
            "difference": results.rounded(compared.difference, 4),
            "difference_low": results.rounded(low, 4),
            "difference_high": results.rounded(high, 4),
            "p": results.rounded(compared.p, 3),
            "p_adjusted": results.rounded(p, 3),
            "family": f"{pair.place['model']}, {pair.place['dataset']}: {len(pairs)} pairs",
            "distinguishable": "yes" if apart else "no",
            "test_rows_needed": ""
            if apart
            else power.rows_needed(pair.first.values, pair.second.values, level=level),
        }


def _of_dataset(params: Params, model: str, dataset: str, scores: ScoreBook) -> Iterator[_Pair]:
    grid, metric = params.grid, metrics.HEADLINE[params.dataset(dataset).task]

    def scored(runs: Mapping[str, Sequence[Run]]) -> list[_Method]:
        methods = [_Method(name, scores.of(each, metric)) for name, each in runs.items()]
        return [method for method in methods if method.values]

    def compared(size: int | float | str, pairs: Iterable[tuple[_Method, _Method]]) -> list[_Pair]:
        place = {"model": model, "dataset": dataset, "train_size": size, "metric": metric}
        return [
            _Pair(place, first, second, paired.compare(first.values, second.values))
            for first, second in pairs
        ]

    prompted = scored({name: [Run(model, dataset, name)] for name in grid.prompting})
    yield from compared(NO_ROWS, combinations(prompted, 2))
    trained = dict.fromkeys(grid.tuning, model)
    trained |= dict.fromkeys(params.baselines_for(dataset), BASELINE)
    for size in grid.train_sizes if trained else []:
        tuned = scored(
            {
                name: [Run(of_model, dataset, name, size, seed) for seed in grid.seeds]
                for name, of_model in trained.items()
            }
        )
        yield from compared(size, chain(product(prompted, tuned), combinations(tuned, 2)))
