"""Error as a power law of the training rows: a + b·n^-c, with what the points leave open.

Cortes et al. (Learning curves: asymptotic values and rate of convergence, 1993) and Hestness et al.
(arXiv 1712.00409, 2017) describe learning curves by it: `a` is the error that no number of rows
removes, and `c` lies below 1 in practice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunebench.metrics.statistics import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PARAMETERS = 3
EXPONENTS = (0.02, 1.0, 100)  # from, to, how many: as far apart as their ratio says
ANGLES = 48  # points around the ellipse of a and b for one exponent
ROUNDING = 1e-9  # a share of the error below it comes from floating-point arithmetic
MISFIT = 0.01  # a fit at whose distance or farther fewer points would lie is refused


@dataclass(frozen=True)
class PowerLaw:
    """The fitted curve, and the outermost of those that the points do not rule out.

    `curves` are number × (a, b at the largest size, c); the first is the fit. `misfit_p` is the
    p-value of its distance from the points (chi-square).
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
        return _with_ends(self._errors(rows))

    def gain(self, factor: float) -> tuple[float, Interval]:
        """By how much the error falls if the largest size grows by a factor, with its interval."""
        return _with_ends(self._errors(self.largest) - self._errors(factor * self.largest))

    def rows_to(self, error: float) -> tuple[float, Interval]:
        """Training rows with which the error is as low; inf where the curve stays above it."""
        import numpy as np

        floor, scale, exponent = self.curves.T
        left = error - floor
        flat = scale < ROUNDING
        reached = (left > 0) & ~flat
        with np.errstate(over="ignore"):
            factor = np.where(reached, scale, 1) / np.where(reached, left, 1)
            rows = np.where(reached, self.largest * factor ** (1 / exponent), inf)
        return _with_ends(np.where(flat & (left >= 0), 0, rows))  # as low with any rows

    def _errors(self, rows: float) -> Floats:
        floor, scale, exponent = self.curves.T
        errors: Floats = floor + scale * (rows / self.largest) ** -exponent
        return errors


def fit(rows: Sequence[float], errors: Sequence[float], deviations: Sequence[float]) -> PowerLaw:
    """The power law through points, by least squares weighted with their variances.

    `a` and `b` are at least 0, and `c` lies between 0.02 and 1. For a given `c` the law is linear
    in the other two (variable projection, Golub & Pereyra 1973), so that it is solved for each of a
    grid of exponents, and searched between them: there is no start to choose. The curves that are
    not ruled out are those of the profile likelihood: their weighted sum of squares lies above the
    smallest by less than 3.84, the 95% quantile of chi-square. Resampling the points instead
    covered less, as many resamples end at a bound (`benchmarks/coverage.py`).

    Three points determine the law, so that nothing tells whether it holds at all.

    Args:
        rows: of training, at least three different numbers.
        errors: in [0, 1], one for each.
        deviations: the standard errors of these.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.stats import chi2

    sizes, observed = np.asarray(rows, float), np.asarray(errors, float)
    weights = 1 / np.asarray(deviations, float) ** 2

    def slices(exponents: Floats) -> _Slices:
        return _Slices.of((sizes / sizes.max()) ** -exponents[:, None], observed, weights)

    low, high, number = EXPONENTS
    exponents = np.geomspace(low, high, number)
    grid = slices(exponents)
    best = grid.smallest()[0]
    exponent = float(
        minimize_scalar(
            lambda exponent: slices(np.array([exponent])).smallest()[3],
            bounds=(exponents[max(0, best - 1)], exponents[min(number - 1, best + 1)]),
            method="bounded",
            options={"xatol": 1e-6},
        ).x
    )
    _, floor, scale, distance = slices(np.array([exponent])).smallest()
    around = grid.around(distance + float(chi2.ppf(LEVEL, 1)), exponents)
    curves = np.concatenate([np.array([[floor, scale, exponent]]), around])
    freedom = max(1, len(sizes) - PARAMETERS)
    return PowerLaw(float(sizes.max()), curves, float(chi2.sf(distance, freedom)))


@dataclass(frozen=True)
class _Slices:
    """The weighted sum of squares for each exponent, a paraboloid over `a` and `b`.

    It is `ones`·a² + 2·`cross`·a·b + `squares`·b² - 2·`flat`·a - 2·`bent`·b + `all`.
    """

    ones: float
    cross: Floats
    squares: Floats
    flat: float
    bent: Floats
    all: float

    @classmethod
    def of(cls, powers: Floats, errors: Floats, weights: Floats) -> _Slices:
        return cls(
            float(weights.sum()),
            powers @ weights,
            powers**2 @ weights,
            float(errors @ weights),
            powers @ (weights * errors),
            float(errors**2 @ weights),
        )

    def smallest(self) -> tuple[int, float, float, float]:
        """The best exponent's place, with `a` and `b` of at least 0, and the sum of squares."""
        import numpy as np

        floor, scale = self._free()
        floor, scale = (
            np.where(floor < 0, 0, np.where(scale < 0, self.flat / self.ones, floor)),
            np.where(floor < 0, self.bent / self.squares, np.where(scale < 0, 0, scale)),
        )
        sums = self._sums(floor, scale)
        best = int(np.argmin(sums))
        return best, float(floor[best]), float(scale[best]), max(0.0, float(sums[best]))

    def around(self, limit: float, exponents: Floats) -> Floats:
        """The edges of the ellipses below a limit, where `a` and `b` are at least 0.

        Returns:
            number × (a, b, c). For each exponent an error or a number of rows is extreme on the
            edge of the region, which is an ellipse cut off by the axes.
        """
        import numpy as np

        floor, scale = self._free()
        room = limit - self._sums(floor, scale)
        inside = room >= 0
        # Cholesky's root of the paraboloid turns a circle into the ellipse
        root = np.sqrt(self.ones)
        height = np.sqrt(self.squares - self.cross**2 / self.ones)
        angles = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
        radius = np.sqrt(np.where(inside, room, 0))[:, None]
        scales = scale[:, None] + radius * np.sin(angles) / height[:, None]
        floors = (
            floor[:, None]
            + (radius * np.cos(angles) - (self.cross / root)[:, None] * (scales - scale[:, None]))
            / root
        )
        edges = [(floors, scales), *self._on_axes(limit)]
        found = []
        for a, b in edges:
            kept = (a >= 0) & (b >= 0) & inside[:, None] & np.isfinite(a + b)
            c = np.broadcast_to(exponents[:, None], a.shape)
            found.append(np.stack([a[kept], b[kept], c[kept]], axis=1))
        return np.concatenate(found)

    def _on_axes(self, limit: float) -> list[tuple[Floats, Floats]]:
        """Where the ellipses cross the axes, each exponents × 2; NaN where they do not."""
        import numpy as np

        def roots(square: Floats, linear: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                half = np.sqrt(linear**2 - square * (self.all - limit))
            ends: Floats = np.stack([linear - half, linear + half], axis=1) / square[:, None]
            # of a segment that begins below 0 the part above counts
            return np.where((ends < 0) & (ends[:, 1:] >= 0), 0, ends)

        like = np.ones_like(self.cross)
        on_scale = roots(self.squares, self.bent)
        on_floor = roots(self.ones * like, self.flat * like)
        return [(0 * on_scale, on_scale), (on_floor, 0 * on_floor)]

    def _free(self) -> tuple[Floats, Floats]:
        """`a` and `b` of the smallest sum of squares for each exponent, of any sign."""
        scale = (self.ones * self.bent - self.cross * self.flat) / (
            self.ones * self.squares - self.cross**2
        )
        return (self.flat - self.cross * scale) / self.ones, scale

    def _sums(self, floor: Floats, scale: Floats) -> Floats:
        sums: Floats = (
            self.ones * floor**2 + 2 * self.cross * floor * scale + self.squares * scale**2
            - 2 * self.flat * floor - 2 * self.bent * scale + self.all
        )  # fmt: skip
        return sums


def _with_ends(values: Floats) -> tuple[float, Interval]:
    """The fitted value, which is the first, and the outermost ones."""
    return float(values[0]), (float(values.min()), float(values.max()))
