"""The highest rate that meets an objective: doubled until one fails, then bisected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from tunebench.config.inference import Serving
from tunebench.serving.load import Load


@dataclass(frozen=True)
class SearchResult:
    """The loads that were tried, in order; `best` has the highest rate that meets the objective.

    `best` is None if none does. `bounded` is whether some rate does not: if all do, a higher rate
    may be possible.
    """

    loads: list[Load]
    best: Load | None
    bounded: bool

    @property
    def nearest(self) -> Load:
        """The best load; if none meets the objective, that of the lowest rate."""
        return self.best or min(self.loads, key=lambda load: load.rate or 0)


def highest_rate(measure: Callable[[float], Load], first: float, settings: Serving) -> SearchResult:
    """Search from a first guess (requests/s): double until one rate fails, then bisect.

    It ends when the lowest rate that fails is at most `rate_precision` above the highest that
    meets the objective, or after `max_rates` loads. Rates are bisected by their geometric mean.
    """
    loads: list[Load] = []
    low: Load | None = None
    high: float | None = None
    rate = first
    while len(loads) < settings.max_rates:
        load = measure(rate)
        loads.append(load)
        if load.meets(settings.objective):
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
    return SearchResult(loads, low, bounded=high is not None)


def requests_at(rate: float, settings: Serving) -> int:
    """How many requests a load takes: enough for percentiles, and for `hold_s` seconds."""
    return max(settings.min_requests, round(rate * settings.hold_s))
