"""95% confidence intervals of one number: means, proportions, quantiles, over several seeds.

`benchmarks/coverage.py` simulates how often each holds the true value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, exp, hypot, log, sqrt
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Interval = tuple[float, float]

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
DRAWS = 10_000  # resamples of a bootstrap
SEED = 0


def of_proportion(hits: int, count: int) -> Interval:
    """The interval of a proportion (Wilson 1927), which is no point at 0 and 1 either.

    Raises:
        ValueError: if `count` is 0.
    """
    # by its formula: scipy's `binomtest` tests a hypothesis too, which takes 2 ms
    if not count:
        raise ValueError("no rows to judge by")
    share, spread = hits / count, NormalDist().inv_cdf(1 - TAIL) ** 2 / count
    half = sqrt(spread * share * (1 - share) + spread**2 / 4)
    low, high = ((share + spread / 2 + sign * half) / (1 + spread) for sign in (-1, 1))
    return (low if hits else 0.0, high if hits < count else 1.0)


def of_means(values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """The interval of each mean of values in [0, 1], by Student's t.

    If all rows have the same value, the interval allows for the share of other rows that as many
    rows would miss (`unseen`).

    Args:
        values: metric → one value for each test row.

    Raises:
        ValueError: if there are no rows.
    """
    return {name: _of_mean(rows) for name, rows in values.items()}


def _of_mean(rows: Sequence[float]) -> Interval:
    if not rows:
        raise ValueError("no rows to judge by")
    middle = fmean(rows)
    if len(set(rows)) == 1:
        share = unseen(len(rows))
        return middle * (1 - share), middle + (1 - middle) * share
    half = t_quantile(len(rows) - 1) * stdev(rows) / sqrt(len(rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def unseen(count: int) -> float:
    """The largest share of rows of another kind that `count` rows show none of.

    The upper end of the exact interval of 0 of `count` (Clopper & Pearson 1934).

    >>> round(unseen(25), 3)
    0.137
    """
    return float(1 - TAIL ** (1 / count))


def t_quantile(degrees_of_freedom: int) -> float:
    """How many standard errors of Student's t the interval reaches to each side.

    >>> round(t_quantile(2), 3)
    4.303
    """
    from scipy.stats import t

    return float(t.ppf(1 - TAIL, degrees_of_freedom))


def of_quantile(values: Sequence[float], fraction: float) -> Interval | None:
    """The interval of a quantile of independent values, between two of them (order statistics).

    It needs no assumption on their distribution (Hahn & Meeker, Statistical Intervals, 5.2), but
    enough values: `needed_for_quantile`. None if there are fewer.
    """
    from scipy.stats import binom

    ordered = sorted(values)
    if len(ordered) < needed_for_quantile(fraction):
        return None
    # the number of values below the quantile is binomial
    low = int(binom.ppf(TAIL, len(ordered), fraction))
    high = int(binom.ppf(1 - TAIL, len(ordered), fraction))
    return ordered[max(0, low - 1)], ordered[min(high, len(ordered) - 1)]


def needed_for_quantile(fraction: float) -> int:
    """How many values `of_quantile` needs: some lie on both sides of the quantile, but for 5%.

    >>> [needed_for_quantile(fraction) for fraction in (0.5, 0.9, 0.99)]
    [6, 36, 368]
    """
    return ceil(log(TAIL) / log(max(fraction, 1 - fraction)))


def of_geometric_mean(values: Sequence[float]) -> tuple[float, Interval | None]:
    """The geometric mean of positive values, and its interval by Student's t of their logarithms.

    One value has no interval.
    """
    logs = [log(value) for value in values]
    middle = fmean(logs)
    if len(logs) == 1:
        return exp(middle), None
    half = t_quantile(len(logs) - 1) * stdev(logs) / sqrt(len(logs))
    return exp(middle), (exp(middle - half), exp(middle + half))


def over_seeds(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The interval of the mean over several seeds, each with the interval of its own mean.

    Two errors are added in quadrature. The error of the test rows is as large as in one run: all
    seeds answer the same rows, so it does not average out. The error of the seeds is Student's t
    times their standard error (4.3 times for three seeds). The result is conservative compared with
    a bootstrap over rows and seeds, since seeds differ partly because of the rows.

    Raises:
        ValueError: if there is not one interval for each mean.
    """
    if len(means) != len(intervals) or not means:
        raise ValueError(f"{len(means)} means and {len(intervals)} intervals")
    if len(means) == 1:
        return intervals[0]
    seeds = t_quantile(len(means) - 1) * stdev(means) / sqrt(len(means))
    pairs = list(zip(means, intervals, strict=True))
    below = hypot(fmean(mean - low for mean, (low, _) in pairs), seeds)
    above = hypot(fmean(high - mean for mean, (_, high) in pairs), seeds)
    middle = fmean(means)
    return max(0.0, middle - below), min(1.0, middle + above)


def middle(draws: np.ndarray) -> Interval:
    """The middle 95% of a bootstrap's draws (the percentile method, Efron 1979)."""
    import numpy as np

    low, high = np.quantile(draws, (TAIL, 1 - TAIL))
    return float(low), float(high)
