"""What a load, and a search over loads, amount to: metrics, and a line for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from tunebench import results
from tunebench.config.inference import limits
from tunebench.serving.load import Load, Request
from tunebench.serving.search import Found

PERCENTS = {
    "latency": (50, 90, 95, 99),
    "time_to_first_token": (50, 90, 99),
    "client_lag": (50, 99),
}


def of_search(found: Found, objective: dict[str, float]) -> results.Metrics:
    """The metrics of the highest rate that meets the objective, and of each that was tried.

    `sustained_rps` are the requests a second that were answered at it; absent where no rate meets
    the objective: `objective_met` is false then, and the others tell of the lowest that was tried.
    `bounded` is false where no rate was found that does not meet it.
    """
    met = found.best is not None
    rates = {
        str(number): {"offered_rps": load.rate, "holds": load.holds(objective), **of_load(load)}
        for number, load in enumerate(sorted(found.tried, key=lambda load: load.rate or 0), 1)
    }
    return results.rounded_all(
        {
            "objective": " and ".join(f"{name} <= {value:g}" for name, value in objective.items()),
            "objective_met": met,
            "bounded": found.bounded,
            "offered_rps": found.nearest.rate,
            **({"sustained_rps": _sustained(found.nearest)} if met else {}),
            **of_load(found.nearest),
            "rates": rates,
        }
    )


def of_load(load: Load) -> dict[str, Any]:
    """Counts, percentiles of seconds over the answered requests, and the server's tokens."""
    errors = _failed(load)
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
    """One load as a person reads it while the search goes on."""
    parts, failed = [f"{load.rate:.3g} requests/s"], len(_failed(load))
    ended = len(load.requests) < load.planned  # its percentiles would leave out the latest
    for what, fraction, _ in limits(objective) if load.successful and not ended else ():
        seconds = _percentile([each.seconds(what) for each in load.successful], 100 * fraction)
        parts.append(f"{what.replace('_', ' ')} p{100 * fraction:g} {seconds:.3g} s")
    if failed:
        parts.append(f"{failed} of {len(load.requests)} failed")
    if ended:
        parts.append(f"ended after {len(load.requests)} of {load.planned}, too many of them late")
    return f"{', '.join(parts)}: {'holds' if load.holds(objective) else 'does not hold'}"


def _failed(load: Load) -> list[Request]:
    return [request for request in load.requests if request.error and not request.cancelled]


def _sustained(load: Load) -> float:
    """Requests answered a second; not more than were offered, as by chance they may be."""
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
    """Tokens of a request as the server counted them; absent where it does not."""
    counted = {
        "tokens_in_mean": [
            each.tokens_in for each in load.successful if each.tokens_in is not None
        ],
        "tokens_out_mean": [
            each.tokens_out for each in load.successful if each.tokens_out is not None
        ],
    }
    return {name: fmean(values) for name, values in counted.items() if values}
