"""Error as a power law of the training rows: a + b·n^-c, with what the points leave open.

Cortes et al. (Learning curves: asymptotic values and rate of convergence, 1993) and Hestness et al.
(arXiv 1712.00409, 2017) describe learning curves by it: `a` is the error that no number of rows
removes, and `c` below 1 in practice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunebench.metrics import statistics
from tunebench.metrics.statistics import SEED, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PARAMETERS = 3
DRAWS = 1000
EXPONENTS = (0.02, 2.0, 150)  # from, to, how many: as far apart as their ratio says
# a fit that misses the points by more than this share of the chance is refused
MISFIT = 0.05


@dataclass(frozen=True)
class PowerLaw:
    """The fitted curve, and those of simulated points.

    `curves` are 1 + draws × (a, b at the largest size, c); the first is the fit itself. `misfit_p`
    is the p-value of its distance from the points (chi-square); 1 where it passes through them.
    """

    largest: float
    curves: Floats
    misfit_p: float

    @property
    def fits(self) -> bool:
        """Whether the points may lie on a power law."""
        return self.misfit_p >= MISFIT

    @property
    def parameters(self) -> tuple[float, float, float]:
        """`a`, `b` and `c` of the fit."""
        floor, scale, exponent = (float(value) for value in self.curves[0])
        return floor, scale * self.largest**exponent, exponent

    def error(self, rows: float) -> tuple[float, Interval]:
        """The error at so many training rows, with its 95% interval."""
        errors = self._errors(rows)
        return float(errors[0]), _around(errors)

    def gain(self, factor: float) -> tuple[float, Interval]:
        """By how much the error falls if the largest size grows by a factor, with its interval."""
        gains = self._errors(self.largest) - self._errors(factor * self.largest)
        return float(gains[0]), _around(gains)

    def rows_to(self, error: float) -> tuple[float, Interval]:
        """Training rows with which the error is as low; inf where the curve stays above it."""
        import numpy as np

        floor, scale, exponent = self.curves.T
        left = error - floor
        reached = (left > 0) & (scale > 0)
        with np.errstate(over="ignore"):
            factor = np.where(reached, scale, 1) / np.where(reached, left, 1)
            rows = np.where(reached, self.largest * factor ** (1 / exponent), inf)
        rows = np.where((scale <= 0) & (left >= 0), 0, rows)  # flat, and low enough
        tails = (statistics.TAIL, 1 - statistics.TAIL)
        low, high = np.quantile(rows[1:], tails, method="nearest")  # not between a number and inf
        return float(rows[0]), (float(min(low, rows[0])), float(max(high, rows[0])))

    def _errors(self, rows: float) -> Floats:
        floor, scale, exponent = self.curves.T
        errors: Floats = floor + scale * (rows / self.largest) ** -exponent
        return errors


def fit(rows: Sequence[float], errors: Sequence[float], covariance: Floats) -> PowerLaw:
    """The power law through points, weighted by their variances.

    `a` and `b` are at least 0, and c lies between 0.02 and 2. For a given c the law is linear in
    `a` and `b` (variable projection, Golub & Pereyra 1973), so that it is solved for each c of a
    fine grid, and the best is taken: no start to choose, no local minimum, and a thousand simulated
    curves in some 20 ms. Three points determine it, so that it passes through them, and nothing
    tells whether it holds at all.

    Args:
        rows: of training, at least three different numbers.
        errors: in [0, 1], one for each.
        covariance: of the errors; the points are simulated with it as a normal distribution.
    """
    import numpy as np
    from scipy.stats import chi2

    sizes, observed = np.asarray(rows, float), np.asarray(errors, float)
    deviations = np.sqrt(np.diag(covariance))
    simulated = np.random.default_rng(SEED).multivariate_normal(
        observed, covariance, size=DRAWS, method="svd"
    )
    points = np.vstack([observed, np.clip(simulated, 0, 1)])
    curves = _fitted(sizes / sizes.max(), points, 1 / deviations**2)
    law = PowerLaw(float(sizes.max()), curves, 1.0)
    missed = np.array([law.error(size)[0] for size in sizes]) - observed
    distance = float(((missed / deviations) ** 2).sum())
    freedom = max(1, len(sizes) - PARAMETERS)
    return PowerLaw(law.largest, curves, float(chi2.sf(distance, freedom)))


def _fitted(sizes: Floats, points: Floats, weights: Floats) -> Floats:
    """`a`, `b` and `c` for each row of points: curves × 3; sizes are relative to the largest."""
    import numpy as np

    low, high, number = EXPONENTS
    exponents = np.geomspace(low, high, number)
    powers = sizes ** -exponents[:, None]  # exponents × sizes
    ones, ups, squares = weights.sum(), powers @ weights, powers**2 @ weights
    mean, crossed = (points @ weights)[:, None], points @ (powers * weights).T  # curves × exponents
    scale = (ones * crossed - ups * mean) / (ones * squares - ups**2)
    floor = (mean - ups * scale) / ones
    # where one of the two would be negative, it is 0, and the other is solved for alone
    scale = np.where(floor < 0, crossed / squares, scale)
    floor = np.where(floor < 0, 0, floor)
    floor = np.where(scale < 0, mean / ones, floor)
    scale = np.where(scale < 0, 0, scale)
    # the weighted sum of squares, less that of the points alone
    loss = (
        ones * floor**2 + squares * scale**2 + 2 * ups * floor * scale
        - 2 * (mean * floor + crossed * scale)
    )  # fmt: skip
    best = np.argmin(loss, axis=1)
    chosen = (np.arange(len(points)), best)
    return np.stack([floor[chosen], scale[chosen], exponents[best]], axis=1)


def _around(draws: Floats) -> Interval:
    """The middle 95% of the simulated values, and the fitted one, which is the first."""
    low, high = statistics.middle(draws[1:])
    return min(low, float(draws[0])), max(high, float(draws[0]))
