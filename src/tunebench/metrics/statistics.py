"""How far a measured number could be off: 95% intervals by the bootstrap (Efron 1979).

Test rows are drawn again, with replacement, as many as there are; the interval holds the middle 95%
of what 10,000 such draws give (the percentile method). Where every row is alike, all answers right
for instance, no draw differs and the interval is a point: it says nothing of rows that are unlike
those of the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]

DRAWS = 10_000
LEVEL = 0.95
SEED = 0
# rows drawn at a time, some 10 MB: larger pieces fall out of the processor's cache, and 2,000 rows
# of four metrics took 0.18 s in pieces of two million, 0.11 s in these
_CHUNK = 250_000


def of_means(values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """The interval of each mean, all from the same draws.

    Args:
        values: metric → one value for each test row, in the rows' order.

    Raises:
        ValueError: where there is no row, or metrics differ in their number of rows.
    """
    draws = drawn_means(list(values.values()))
    return {name: _middle(draws[:, index]) for index, name in enumerate(values)}


def drawn_means(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The mean of each list of values in each draw, all from the same draws: draws × lists.

    Raises:
        ValueError: where there is no row, or lists differ in their number of rows.
    """
    import numpy as np

    rows = np.array(values, dtype=np.float64).T  # rows × lists
    count = len(rows)
    if not count:
        raise ValueError("no rows to draw from")
    random = np.random.default_rng(SEED)
    means = np.empty((DRAWS, rows.shape[1]))
    step = max(1, _CHUNK // count)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        drawn = random.integers(count, size=(size, count))
        # how often each row was drawn, so that all means come of one product
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means[start : start + size] = times @ rows / count
    return means


def of_confusion(gold: Sequence[str], answers: Sequence[str | None]) -> dict[str, Interval]:
    """The intervals of accuracy and macro-averaged F1.

    Both follow from how many rows stand in each cell of the confusion matrix, and drawing rows is
    drawing those counts from a multinomial distribution: so 25,000 rows cost no more than 200.

    Args:
        answers: None where a row was not answered.

    Raises:
        ValueError: where there is no row, or not one answer for each gold label.
    """
    import numpy as np

    if len(gold) != len(answers) or not gold:
        raise ValueError(f"{len(gold)} gold labels and {len(answers)} answers")
    cells, times = _confusion(gold, answers)
    drawn = np.random.default_rng(SEED).multinomial(len(gold), times / len(gold), size=DRAWS)
    return {name: _middle(values) for name, values in _of_counts(drawn, cells).items()}


def _confusion(
    gold: Sequence[str], answers: Sequence[str | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells in which rows stand, and how many: gold and answer × cells × labels, one-hot.

    No answer is no label: all zeros.
    """
    import numpy as np

    labels = sorted({*gold, *(answer for answer in answers if answer is not None)})
    place: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
    place[None] = len(labels)
    rows = np.array(
        [(place[right], place[given]) for right, given in zip(gold, answers, strict=True)]
    )
    cells, times = np.unique(rows, axis=0, return_counts=True)
    return np.eye(len(labels) + 1, len(labels), dtype=np.int64)[cells.T], times


def _of_counts(
    drawn: NDArray[np.int64], cells: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Accuracy and macro-F1 of each draw, from its rows in each cell: draws × cells.

    Macro-F1 is the mean over the labels that stand in the draw (scikit-learn's zero_division=nan).
    """
    import numpy as np

    right, given = cells
    hits = drawn @ (right * given)  # draws × labels
    seen = drawn @ (right + given)  # gold and answers that name the label
    f1 = 2 * hits / np.maximum(seen, 1)
    return {"accuracy": hits.sum(1) / drawn.sum(1), "macro_f1": f1.sum(1) / (seen > 0).sum(1)}


def of_median(rounds: Sequence[Sequence[float]]) -> Interval:
    """The interval of the median of all values, where each subject was measured in every round.

    Subjects are drawn again, each with all its rounds: a prompt that takes long does so each time,
    and measuring it three times makes no three prompts of it.

    Args:
        rounds: each the values of the same subjects, in the same order.

    Raises:
        ValueError: where there is no value, or rounds differ in their number of subjects.
    """
    import numpy as np

    values = np.array(rounds, dtype=np.float64)  # rounds × subjects
    if not values.size:
        raise ValueError("no values to draw from")
    count = values.shape[1]
    drawn = np.random.default_rng(SEED).integers(count, size=(DRAWS, count))
    return _middle(np.median(values.T[drawn].reshape(DRAWS, -1), axis=1))


def over_seeds(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The interval of the mean over several seeds, each with the interval of its own mean.

    Two errors add as squares. All seeds answer the same test rows, so that what those rows are off
    is not averaged away: it counts as wide as in one run. What the seeds differ counts by Student's
    t for their number, 4.3 standard errors for three. That is wider rather than narrower than a
    bootstrap over rows and seeds together, since a part of what the seeds differ is the rows' own.

    Raises:
        ValueError: where there is not one interval for each mean.
    """
    from scipy.stats import t

    if len(means) != len(intervals) or not means:
        raise ValueError(f"{len(means)} means and {len(intervals)} intervals")
    if len(means) == 1:
        return intervals[0]
    quantile = float(t.ppf((1 + LEVEL) / 2, len(means) - 1))
    seeds = quantile * stdev(means) / sqrt(len(means))
    pairs = list(zip(means, intervals, strict=True))
    below = hypot(fmean(mean - low for mean, (low, _) in pairs), seeds)
    above = hypot(fmean(high - mean for mean, (_, high) in pairs), seeds)
    middle = fmean(means)
    return max(0.0, middle - below), min(1.0, middle + above)


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """The p-value of McNemar's exact test: which of two is right more often, on the same rows.

    Only rows on which one of them is right count (McNemar 1947; the exact, binomial form).
    """
    from scipy.stats import binomtest

    pairs = list(zip(ours, theirs, strict=True))
    wins, losses = pairs.count((True, False)), pairs.count((False, True))
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def of_difference(draws: NDArray[np.float64]) -> tuple[Interval, float]:
    """The interval of a difference and the p-value of its being none, from its drawn values.

    The p-value is twice the share of draws on the other side of zero, the observed one counted in
    (Davison & Hinkley 1997), so it is never smaller than 2 / (draws + 1).
    """
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return _middle(draws), min(1.0, 2 * (min(below, above) + 1) / (len(draws) + 1))


def over_runs(draws: NDArray[np.float64], runs: Sequence[int]) -> NDArray[np.float64]:
    """The drawn mean of one method over its seeds' runs, seeds drawn again too: one for each draw.

    Args:
        draws: of `drawn_means`, draws × runs.
        runs: the method's columns in it.
    """
    import numpy as np

    own = draws[:, list(runs)]
    if own.shape[1] == 1:
        return own[:, 0]
    chosen = np.random.default_rng(SEED + 1).integers(own.shape[1], size=own.shape)
    means: NDArray[np.float64] = np.take_along_axis(own, chosen, axis=1).mean(axis=1)
    return means


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the same order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _middle(draws: np.ndarray) -> Interval:
    import numpy as np

    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(low), float(high)
