"""Whether two methods differ on the same test rows: the difference, its interval, its p-value.

The interval holds zero exactly where the p-value is at least 5%.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, hypot, log, sqrt
from typing import TYPE_CHECKING

from tunebench.metrics.statistics import LEVEL, TAIL, Interval, unseen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNIFICANCE = 1 - LEVEL
ROUNDING = 1e-12  # a standard error below it comes from floating-point arithmetic
LEAST = 1e-300  # the smallest p-value that is told apart from zero


@dataclass(frozen=True)
class Comparison:
    """The first method's mean minus the second's, its 95% interval, and the p-value of zero."""

    difference: float
    interval: Interval
    p: float


def compare(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Comparison:
    """Compare two methods' values in [0, 1] on the same rows.

    Values that are 0 or 1 of one run each are compared by McNemar's exact test, all others by
    Student's t over rows and seeds.

    Args:
        first: one list of values, row by row, for each of its seeds; a method that no seed changes
            has one list. The seeds of two methods are paired: they drew the same training rows.

    Raises:
        ValueError: if both have several seeds, but not as many, or rows differ in number.
    """
    import numpy as np

    values, others = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    counts = {len(values), len(others)} - {1}
    if values.shape[1] != others.shape[1] or len(counts) > 1:
        raise ValueError(f"{values.shape} and {others.shape} seeds and rows cannot be paired")
    single = len(values) == len(others) == 1
    if single and np.isin((values, others), (0, 1)).all():
        wins = int(((values == 1) & (others == 0)).sum())
        losses = int(((values == 0) & (others == 1)).sum())
        return of_proportions(wins, losses, values.shape[1])
    return of_means(values - others)


def of_proportions(wins: int, losses: int, rows: int) -> Comparison:
    """Two methods' accuracies, from how often only the first and only the second is right.

    The p-value is McNemar's exact one (1947; the binomial form), the interval that of Bonett &
    Price (2012), widened to zero where the exact test does not tell the two apart.
    """
    from scipy.stats import binomtest, norm

    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    won, lost = (wins + 1) / (rows + 2), (losses + 1) / (rows + 2)
    half = float(norm.ppf(1 - TAIL)) * sqrt((won + lost - (won - lost) ** 2) / (rows + 2))
    low, high = max(-1.0, won - lost - half), min(1.0, won - lost + half)
    if p >= SIGNIFICANCE:
        low, high = min(low, 0.0), max(high, 0.0)
    return Comparison((wins - losses) / rows, (low, high), p)


def of_means(differences: NDArray[np.float64]) -> Comparison:
    """Differences in [-1, 1] on each row for each seed: seeds × rows.

    The errors of seeds and rows are added as squares, each as wide as Student's t says for its
    number (4.3 standard errors for three seeds), as in `statistics.over_seeds`. The p-value is the
    level at which the interval just reaches zero.
    """
    from scipy.stats import sem, t

    seeds, rows = differences.shape
    mean = float(differences.mean())
    # standard errors by degrees of freedom; a mean over the seeds has the error of one run's rows
    errors = [
        (float(sem(differences.mean(axis=1 - axis))), number - 1)
        for axis, number in enumerate((seeds, rows))
        if number > 1
    ]
    errors = [(error, freedom) for error, freedom in errors if error > ROUNDING]
    if not errors:
        return _without_spread(mean, rows)

    def half_width(tail: float) -> float:
        return hypot(*(error * float(t.isf(tail, freedom)) for error, freedom in errors))

    half = half_width(TAIL)
    return Comparison(mean, (mean - half, mean + half), _level(half_width, abs(mean)))


def _level(half_width: Callable[[float], float], distance: float) -> float:
    """The two-sided level at which an interval of that half-width reaches a distance."""
    from scipy.optimize import brentq

    if half_width(LEAST) <= distance:
        return 2 * LEAST
    tail = brentq(lambda tail: half_width(exp(tail)) - distance, log(LEAST), log(0.5))
    return 2 * exp(float(tail))


def _without_spread(mean: float, rows: int) -> Comparison:
    """The comparison if the difference is the same on every row: `unseen` rows may have another."""
    share = unseen(rows)
    interval = mean - (1 + mean) * share, mean + (1 - mean) * share
    p = 2 * (1 + abs(mean)) ** -rows  # the level at which the interval reaches zero
    return Comparison(mean, interval, min(1.0, p))


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
