"""How many test rows would tell two methods apart that the present ones do not."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

from tunebench import results

POWER = 0.8
NORMAL = NormalDist()
MOST_ROWS = 100_000  # more test rows than anybody labels to tell two methods apart
TOO_MANY = f"more than {MOST_ROWS:,}"
MORE_SEEDS = "more seeds"


def rows_needed(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], *, level: float
) -> int | str:
    """Test rows with which a two-sided paired test finds the difference in 80% of the cases.

    They are counted for a true difference as large as the observed one, which may well be smaller
    or none: a guide to how many rows to label, not to what they will show. For the accuracies of
    two runs the formula is Connor's (Biometrics 43, 1987) for McNemar's test:
    (z(level/2)·√ψ + z(20%)·√(ψ - d²))² / d², of the share ψ of rows on which the two disagree and
    their difference d. For other scores ψ is the mean square of the differences, and ψ - d² their
    variance. The error of seeds, which more rows do not lower, takes its part of the difference
    first, as wide as Student's t makes it.

    Args:
        first, second: as `metrics.paired.compare` takes them.
        level: of the test. `comparisons` gives 5% over the number of pairs that are not told apart
            yet: the first step of Holm's correction for these.

    Returns:
        The rows to two digits, at least one more than there are, or why there is no such number:
        `TOO_MANY` or `MORE_SEEDS`.
    """
    import numpy as np

    differences = np.asarray(first) - np.asarray(second)
    seeds, rows = differences.shape
    by_row = differences.mean(axis=0)
    mean, variance = float(by_row.mean()), float(by_row.var())
    power = NORMAL.inv_cdf(POWER)
    of_seeds = 0.0
    if seeds > 1:
        from scipy.stats import sem, t

        error = float(sem(differences.mean(axis=1)))
        of_seeds = (float(t.isf(level / 2, seeds - 1)) + power) * error
    left = mean**2 - of_seeds**2
    if left <= 0:
        return MORE_SEEDS if of_seeds and mean else TOO_MANY
    of_rows = NORMAL.inv_cdf(1 - level / 2) * sqrt(variance + mean**2) + power * sqrt(variance)
    needed = of_rows**2 / left
    return TOO_MANY if needed > MOST_ROWS else max(rows + 1, int(results.rounded(needed, 2)))
