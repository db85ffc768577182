"""The highest rate that is shown to meet an objective, and the lowest that is shown not to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt

from tunebench.config.inference import Serving, limits
from tunebench.serving.lateness import Limit, Plan, Verdict
from tunebench.serving.load import Load


@dataclass(frozen=True)
class SearchResult:
    """The loads that were tried, in order."""

    loads: list[Load]

    @cached_property
    def best(self) -> Load | None:
        """The load with the highest rate that is shown to hold; None if none is.

        A rate above one that is shown to fail does not count: one of the two was an error.
        """
        failed = (self.lowest_failed and self.lowest_failed.rate) or inf
        held = [load for load in _with(self.loads, "holds") if (load.rate or 0) < failed]
        return max(held, key=lambda load: load.rate or 0) if held else None

    @cached_property
    def lowest_failed(self) -> Load | None:
        """The load with the lowest rate that is shown to fail; None if none is."""
        failed = _with(self.loads, "fails")
        return min(failed, key=lambda load: load.rate or 0) if failed else None

    @property
    def nearest(self) -> Load:
        """The best load; if no rate is shown to hold, that of the lowest rate."""
        return self.best or min(self.loads, key=lambda load: load.rate or 0)


def highest_rate(measure: Callable[[float], Load], first: float, settings: Serving) -> SearchResult:
    """Search from a first guess (requests/s): double until one rate fails, then bisect.

    Between the highest rate that is shown to hold and the lowest that is shown to fail lie rates
    that are neither. The search bisects both edges by their geometric mean, the wider one first,
    until each is at most `rate_precision` wide, or `max_rates` loads are done.
    """
    loads: list[Load] = []
    rate: float | None = first
    while rate is not None and len(loads) < settings.max_rates:
        loads.append(measure(rate))
        rate = _next_rate(loads, settings)
    return SearchResult(loads)


def plan_of(rate: float, settings: Serving) -> Plan:
    """When a load at a rate is looked at, in requests."""
    most = max(settings.min_requests, round(rate * settings.longest_hold_s))
    return Plan(
        limits=[
            Limit(what, round(1 - fraction, 9), seconds)
            for what, fraction, seconds in limits(settings.objective)
        ],
        first=settings.min_requests,
        hold=min(most, round(rate * settings.hold_s)),
        most=most,
    )


def _next_rate(loads: Sequence[Load], settings: Serving) -> float | None:
    """The rate to try next; None if the search is done."""
    rates = sorted(load.rate or 0 for load in loads)
    result = SearchResult(list(loads))
    if result.best is None:
        lower = rates[0] / 2
        return lower if plan_of(lower, settings).can_hold else None
    if result.lowest_failed is None:
        return rates[-1] * 2
    low, high = result.best.rate or 0, result.lowest_failed.rate or 0
    between = [rate for rate in rates if low < rate < high]
    edges = [(low, min([*between, high])), (max([*between, low]), high)]
    start, end = max(edges, key=lambda edge: edge[1] / edge[0])
    return sqrt(start * end) if end / start > 1 + settings.rate_precision else None


def _with(loads: Sequence[Load], verdict: Verdict) -> list[Load]:
    return [load for load in loads if load.verdict == verdict]
