"""The highest rate that meets an objective: doubled until one fails, then bisected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from tunebench.config.inference import Serving
from tunebench.serving.load import Load


@dataclass(frozen=True)
class Found:
    """Every rate that was tried, in order; `best` is the highest that holds, None where none does.

    `bounded` tells whether a rate was found that does not hold: without one, more may be possible.
    """

    tried: list[Load]
    best: Load | None
    bounded: bool

    @property
    def nearest(self) -> Load:
        """The best load, or where none holds the lowest that was tried."""
        return self.best or min(self.tried, key=lambda load: load.rate or 0)


def highest_rate(measure: Callable[[float], Load], first: float, settings: Serving) -> Found:
    """Search from a first guess, in requests/s, until the answer is as precise as asked.

    The rate that fails lies at most `rate_precision` above the one that holds, unless `max_rates`
    were tried before that. Rates are bisected by their ratio.
    """
    tried: list[Load] = []
    low: Load | None = None
    high: float | None = None
    rate = first
    while len(tried) < settings.max_rates:
        load = measure(rate)
        tried.append(load)
        if load.holds(settings.objective):
            low = load
        else:
            high = rate
        if low is None:
            rate /= 2
        elif high is None:
            rate *= 2
        elif high / float(low.rate or 0) <= 1 + settings.rate_precision:
            break
        else:
            rate = sqrt(high * float(low.rate or 0))
    return Found(tried, low, bounded=high is not None)


def requests_at(rate: float, settings: Serving) -> int:
    """How many requests make a rate known: enough for the percentiles, and for long enough."""
    return max(settings.min_requests, round(rate * settings.hold_s))
