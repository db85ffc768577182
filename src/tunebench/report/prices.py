"""Seconds to dollars, at the hourly price of the machine that they were measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Bill:
    """Dollars that a method costs before its first request, and per thousand requests."""

    usd_once: float
    usd_per_1k_requests: float

    def usd_at(self, requests: int) -> float:
        """The total for that many requests.

        >>> Bill(2.0, 0.5).usd_at(10_000)
        7.0
        """
        return self.usd_once + requests / 1000 * self.usd_per_1k_requests


def usd_to_train(seconds: float, usd_per_hour: float) -> float:
    """Price of a training run, from the seconds of the machine with all its devices."""
    return seconds * usd_per_hour / 3600


def usd_per_1k_requests(requests_per_s: float, usd_per_hour: float) -> float:
    """Price of a thousand requests at an achieved (not offered) throughput."""
    return usd_per_hour / 3600 / requests_per_s * 1000


def requests_to_overtake(first: Bill, second: Bill) -> int | None:
    """The break-even: from this number of requests on, the bill that starts higher is lower.

    None if one bill is never above the other.

    >>> requests_to_overtake(Bill(2.0, 0.5), Bill(0.0, 1.0))
    4001
    """
    usd_once = first.usd_once - second.usd_once
    usd_per_request = (second.usd_per_1k_requests - first.usd_per_1k_requests) / 1000
    if usd_once * usd_per_request <= 0:
        return None
    # rounded to 6 digits, below which floating-point errors lie
    return math.floor(round(usd_once / usd_per_request, 6)) + 1


def machines(demand_rps: float, margin: float, requests_per_s: float) -> int:
    """How many machines of a throughput serve a demand, with a margin as a fraction of it.

    >>> machines(10, 0.3, 6.5)
    2
    """
    return math.ceil(round(demand_rps * (1 + margin) / requests_per_s, 9))


def usd_per_month(count: int, usd_per_hour: float) -> float:
    """Price of that many machines that always run."""
    return count * usd_per_hour * HOURS_PER_MONTH
