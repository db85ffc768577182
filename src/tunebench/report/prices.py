"""Seconds to dollars, by the price of the machine that they were measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Bill:
    """What a method costs, in dollars: once, before the first request, and for each thousand."""

    usd_once: float
    usd_per_1k_requests: float

    def usd_at(self, requests: int) -> float:
        """The sum for that many requests.

        >>> Bill(2.0, 0.5).usd_at(10_000)
        7.0
        """
        return self.usd_once + requests / 1000 * self.usd_per_1k_requests


def usd_to_train(seconds: float, usd_per_hour: float) -> float:
    """Price of a training run."""
    return seconds * usd_per_hour / 3600


def usd_per_1k_requests(requests_per_s: float, usd_per_hour: float) -> float:
    """Price of a thousand requests at a throughput that was achieved, not offered."""
    return usd_per_hour / 3600 / requests_per_s * 1000


def requests_to_overtake(ours: Bill, theirs: Bill) -> int | None:
    """The first number of requests at which the bill that is higher at first is the lower one.

    None where no bill overtakes the other: one is never above the other.

    >>> requests_to_overtake(Bill(2.0, 0.5), Bill(0.0, 1.0))
    4001
    """
    once = ours.usd_once - theirs.usd_once
    each = (theirs.usd_per_1k_requests - ours.usd_per_1k_requests) / 1000
    if once * each <= 0:
        return None
    return math.floor(round(once / each, 6)) + 1  # 6 digits: what binary fractions lose is below


def machines(demand_rps: float, margin: float, requests_per_s: float) -> int:
    """Machines of a throughput for a demand, with a margin to spare as a fraction of it.

    >>> machines(10, 0.3, 6.5)
    2
    """
    return math.ceil(round(demand_rps * (1 + margin) / requests_per_s, 9))


def usd_per_month(count: int, usd_per_hour: float) -> float:
    """Price of that many machines, on all day long."""
    return count * usd_per_hour * HOURS_PER_MONTH
