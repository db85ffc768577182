"""95% confidence intervals by the bootstrap (Efron 1979), and paired tests.

Test rows are resampled with replacement 10,000 times, and the interval is the middle 95% of the
results (the percentile method). If all rows have the same value, as when every answer is correct,
all resamples are equal and the interval is a point: it tells nothing about other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, hypot, log, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]

DRAWS = 10_000
LEVEL = 0.95
SEED = 0
# rows drawn at a time, some 10 MB: larger chunks do not fit the processor's cache, and 2,000 rows
# of four metrics took 0.18 s in chunks of two million, 0.11 s in these
_CHUNK = 250_000


def of_means(values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """The interval of each mean, from the same resamples.

    Args:
        values: metric → one value for each test row, in the rows' order.

    Raises:
        ValueError: if there are no rows, or metrics differ in their number of rows.
    """
    draws = bootstrap_means(list(values.values()))
    return {name: _middle(draws[:, index]) for index, name in enumerate(values)}


def bootstrap_means(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The mean of each list of values in each resample: draws × lists.

    Raises:
        ValueError: if there are no rows, or lists differ in their number of rows.
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
        # how often each row was drawn, so that one matrix product gives all means
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means[start : start + size] = times @ rows / count
    return means


def of_confusion(gold: Sequence[str], answers: Sequence[str | None]) -> dict[str, Interval]:
    """The intervals of accuracy and macro-averaged F1.

    Both are functions of the confusion matrix, and resampling rows is drawing its counts from a
    multinomial distribution. So 25,000 rows take no longer than 200.

    Args:
        answers: None if an answer names no label.

    Raises:
        ValueError: if there are no rows, or not one answer for each gold label.
    """
    import numpy as np

    if len(gold) != len(answers) or not gold:
        raise ValueError(f"{len(gold)} gold labels and {len(answers)} answers")
    cells, counts = _confusion(gold, answers)
    drawn = np.random.default_rng(SEED).multinomial(len(gold), counts / len(gold), size=DRAWS)
    return {name: _middle(values) for name, values in _of_counts(drawn, cells).items()}


def _confusion(
    gold: Sequence[str], answers: Sequence[str | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nonzero cells of the confusion matrix, and their counts.

    Cells are (gold, answer) × cells × labels, one-hot; an answer that is None is all zeros.
    """
    import numpy as np

    labels = sorted({*gold, *(answer for answer in answers if answer is not None)})
    index_of: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
    index_of[None] = len(labels)
    rows = np.array(
        [
            (index_of[right], index_of[answered])
            for right, answered in zip(gold, answers, strict=True)
        ]
    )
    cells, counts = np.unique(rows, axis=0, return_counts=True)
    return np.eye(len(labels) + 1, len(labels), dtype=np.int64)[cells.T], counts


def _of_counts(
    drawn: NDArray[np.int64], cells: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Accuracy and macro-F1 of each draw, from its counts: draws × cells.

    Macro-F1 is the mean over the labels that occur in the draw (scikit-learn's zero_division=nan).
    """
    import numpy as np

    right, answered = cells
    hits = drawn @ (right * answered)  # draws × labels
    seen = drawn @ (right + answered)  # gold and answers that name the label
    f1 = 2 * hits / np.maximum(seen, 1)
    return {"accuracy": hits.sum(1) / drawn.sum(1), "macro_f1": f1.sum(1) / (seen > 0).sum(1)}


def of_quantile(values: Sequence[float], fraction: float) -> Interval | None:
    """The interval of a quantile of independent values, between two of them (order statistics).

    It needs no assumption on their distribution (Hahn & Meeker, Statistical Intervals, 5.2), but
    enough values: `needed_for_quantile`. None if there are fewer.
    """
    from scipy.stats import binom

    ordered, tail = sorted(values), (1 - LEVEL) / 2
    if len(ordered) < needed_for_quantile(fraction):
        return None
    # the number of values below the quantile is binomial
    low = int(binom.ppf(tail, len(ordered), fraction))
    high = int(binom.ppf(1 - tail, len(ordered), fraction))
    return ordered[max(0, low - 1)], ordered[min(high, len(ordered) - 1)]


def needed_for_quantile(fraction: float) -> int:
    """How many values `of_quantile` needs: some lie on both sides of the quantile, but for 5%.

    >>> [needed_for_quantile(fraction) for fraction in (0.5, 0.9, 0.99)]
    [6, 36, 368]
    """
    return ceil(log((1 - LEVEL) / 2) / log(max(fraction, 1 - fraction)))


def of_median(rounds: Sequence[Sequence[float]]) -> Interval:
    """The interval of the median of all values, if each subject is measured in every round.

    Subjects are resampled with all their rounds (cluster bootstrap): repeated measurements of one
    prompt are not independent.

    Args:
        rounds: each has the values of the same subjects, in the same order.

    Raises:
        ValueError: if there are no values, or rounds differ in their number of subjects.
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

    Two errors are added in quadrature. The error of the test rows is as large as in one run: all
    seeds answer the same rows, so it does not average out. The error of the seeds is Student's t
    times their standard error (4.3 times for three seeds). The result is conservative compared with
    a bootstrap over rows and seeds, since seeds differ partly because of the rows.

    Raises:
        ValueError: if there is not one interval for each mean.
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


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The p-value of McNemar's exact test of whether two methods are correct equally often.

    Only rows on which exactly one of them is correct count (McNemar 1947; the binomial form).
    """
    from scipy.stats import binomtest

    pairs = list(zip(first, second, strict=True))
    wins, losses = pairs.count((True, False)), pairs.count((False, True))
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def of_difference(draws: NDArray[np.float64]) -> tuple[Interval, float]:
    """The interval of a difference, and the p-value of it being zero, from its bootstrap draws.

    The p-value is twice the fraction of draws on the other side of zero, where the observed value
    counts as a draw (Davison & Hinkley 1997), so it is at least 2 / (draws + 1).
    """
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return _middle(draws), min(1.0, 2 * (min(below, above) + 1) / (len(draws) + 1))


def over_runs(draws: NDArray[np.float64], runs: Sequence[int]) -> NDArray[np.float64]:
    """The mean of one method in each draw, with its seeds resampled too.

    Args:
        draws: what `bootstrap_means` returns, draws × runs.
        runs: the method's columns in it.
    """
    import numpy as np

    of_method = draws[:, list(runs)]
    if of_method.shape[1] == 1:
        return of_method[:, 0]
    chosen = np.random.default_rng(SEED + 1).integers(of_method.shape[1], size=of_method.shape)
    means: NDArray[np.float64] = np.take_along_axis(of_method, chosen, axis=1).mean(axis=1)
    return means


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for multiple comparisons (Holm 1979), in the same order.

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
