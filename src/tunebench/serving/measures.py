"""Metrics of a load and of a search over loads, and a log line for each load."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from tunebench import results
from tunebench.config.inference import limits
from tunebench.serving.load import Load, Request
from tunebench.serving.search import SearchResult

PERCENTS = {
    "latency": (50, 90, 95, 99),
    "time_to_first_token": (50, 90, 99),
    "client_lag": (50, 99),
}


def of_search(search: SearchResult, objective: dict[str, float]) -> results.Metrics:
    """The metrics of the highest rate that meets the objective, and of each that was tried.

    `sustained_rps` is the requests per second that were answered at it. If no rate meets the
    objective, `objective_met` is false, `sustained_rps` is absent, and the other metrics are those
    of the lowest rate. `bounded` is false if every rate that was tried meets it.
    """
    met = search.best is not None
    rates = {
        str(number): {"offered_rps": load.rate, "holds": load.meets(objective), **of_load(load)}
        for number, load in enumerate(sorted(search.loads, key=lambda load: load.rate or 0), 1)
    }
    return results.rounded_all(
        {
            "objective": " and ".join(f"{name} <= {value:g}" for name, value in objective.items()),
            "objective_met": met,
            "bounded": search.bounded,
            "offered_rps": search.nearest.rate,
            **({"sustained_rps": _sustained(search.nearest)} if met else {}),
            **of_load(search.nearest),
            "rates": rates,
        }
    )


def of_load(load: Load) -> dict[str, Any]:
    """Counts, percentiles (s) over the answered requests, and mean tokens."""
    errors = _failed_requests(load)
    return {
        "achieved_rps": load.achieved_rps,
        "requests": len(load.requests),
        "requests_planned": load.planned,
        "errors": sum(not request.timed_out for request in errors),
        "timeouts": sum(request.timed_out for request in errors),
        **_percentiles(load),
        **_tokens(load),
    }


def line(load: Load, objective: dict[str, float]) -> str:
    """One load as a log line."""
    parts, failures = [f"{load.rate:.3g} requests/s"], len(_failed_requests(load))
    ended = len(load.requests) < load.planned  # its percentiles would omit the slowest requests
    for what, fraction, _ in limits(objective) if load.successful and not ended else ():
        seconds = _percentile(
            [request.seconds(what) for request in load.successful], 100 * fraction
        )
        parts.append(f"{what.replace('_', ' ')} p{100 * fraction:g} {seconds:.3g} s")
    if failures:
        parts.append(f"{failures} of {len(load.requests)} failed")
    if ended:
        parts.append(f"ended after {len(load.requests)} of {load.planned}, too many of them late")
    return f"{', '.join(parts)}: {'holds' if load.meets(objective) else 'does not hold'}"


def _failed_requests(load: Load) -> list[Request]:
    return [request for request in load.requests if request.error and not request.cancelled]


def _sustained(load: Load) -> float:
    """Requests answered per second, at most the offered rate, which it may exceed by chance."""
    return min(load.achieved_rps, load.rate or load.achieved_rps)


def _percentiles(load: Load) -> dict[str, float]:
    if not load.successful:
        return {}
    return {
        f"{what}_p{percent}_s": _percentile(
            [request.seconds(what) for request in load.successful], percent
        )
        for what, percents in PERCENTS.items()
        for percent in percents
    }


def _percentile(values: Sequence[float], percent: float) -> float:
    import numpy as np

    return float(np.percentile(values, percent))


def _tokens(load: Load) -> dict[str, float]:
    """Mean tokens of a request as the server counts them; absent if it does not."""
    counted = {
        "tokens_in_mean": [
            request.tokens_in for request in load.successful if request.tokens_in is not None
        ],
        "tokens_out_mean": [
            request.tokens_out for request in load.successful if request.tokens_out is not None
        ],
    }
    return {name: fmean(values) for name, values in counted.items() if values}
