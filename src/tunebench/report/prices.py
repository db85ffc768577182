"""Seconds to dollars, at the hourly price of the machine that they were measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tunebench.config.schema import Hardware

HOURS_PER_MONTH = 730
TWO_SIDED = 1.959964  # standard deviations of a 95% interval


@dataclass(frozen=True)
class Usd:
    """Dollars, with their 95% interval."""

    usd: float
    low: float
    high: float

    @classmethod
    def exact(cls, usd: float) -> Usd:
        """Dollars that are known."""
        return cls(usd, usd, usd)

    def __add__(self, other: Usd) -> Usd:
        """The sum; independent errors add as squares."""
        usd = self.usd + other.usd
        below = math.hypot(self.usd - self.low, other.usd - other.low)
        above = math.hypot(self.high - self.usd, other.high - other.usd)
        return Usd(usd, usd - below, usd + above)

    def __sub__(self, other: Usd) -> Usd:
        """The difference (MOVER, Zou & Donner 2008)."""
        return self + Usd(-other.usd, -other.high, -other.low)

    def times(self, factor: float) -> Usd:
        """As many times the dollars; `factor` is positive."""
        return Usd(self.usd * factor, self.low * factor, self.high * factor)


def measured(usd: float, ends: tuple[float, float], repeatability: float) -> Usd:
    """Dollars from a measured time or rate.

    Args:
        ends: of the interval within one run, which may be `usd` itself.
        repeatability: the relative standard deviation of the same work measured in another run.
    """
    if not usd:
        return Usd.exact(0.0)
    between = TWO_SIDED * repeatability
    low, high = ends
    below = math.hypot(between, math.log(usd / low) if low else math.inf)
    above = math.hypot(between, math.log(high / usd))
    return Usd(usd, usd * math.exp(-below), usd * math.exp(above))


@dataclass(frozen=True)
class Bill:
    """Dollars that a method costs before its first request, and per thousand requests."""

    once: Usd
    per_1k_requests: Usd

    def at(self, requests: int) -> Usd:
        """The total for that many requests.

        >>> Bill(Usd(2.0, 1.0, 3.0), Usd.exact(0.5)).at(10_000)
        Usd(usd=7.0, low=6.0, high=8.0)
        """
        return self.once + self.per_1k_requests.times(requests / 1000)


def usd_to_train(seconds: float, usd_per_hour: float) -> float:
    """Price of a training run, from the seconds of the machine with all its devices."""
    return seconds * usd_per_hour / 3600


def usd_per_1k_requests(requests_per_s: float, usd_per_hour: float) -> float:
    """Price of a thousand requests at an achieved (not offered) throughput."""
    return usd_per_hour / 3600 / requests_per_s * 1000


def of_1k_requests(requests_per_s: float, interval: tuple[float, float], machine: Hardware) -> Usd:
    """The same with its interval, from that of the throughput."""
    slow, fast = interval
    usd, low, high = (
        usd_per_1k_requests(rate, machine.usd_per_hour) for rate in (requests_per_s, fast, slow)
    )
    return measured(usd, (low, high), machine.repeatability)


def machines(demand_rps: float, margin: float, requests_per_s: float) -> int:
    """How many machines of a throughput serve a demand, with a margin as a fraction of it.

    >>> machines(10, 0.3, 6.5)
    2
    """
    return math.ceil(round(demand_rps * (1 + margin) / requests_per_s, 9))


def usd_per_month(count: int, usd_per_hour: float) -> float:
    """Price of that many machines that always run."""
    return count * usd_per_hour * HOURS_PER_MONTH
