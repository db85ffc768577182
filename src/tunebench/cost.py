"""Seconds to dollars, by the price of the machine that they were measured on."""

from __future__ import annotations


def usd_to_train(seconds: float, usd_per_hour: float) -> float:
    """Price of a training run."""
    return seconds * usd_per_hour / 3600


def usd_per_1k_requests(requests_per_s: float, usd_per_hour: float) -> float:
    """Price of a thousand requests at a throughput that was achieved, not offered."""
    return usd_per_hour / 3600 / requests_per_s * 1000
