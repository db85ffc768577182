"""Metrics of a load and of a search over loads, and a log line for each load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from tunebench import metrics, results
from tunebench.config.inference import limits
from tunebench.metrics import statistics
from tunebench.serving.load import Load, Request
from tunebench.serving.search import SearchResult

PERCENTS = {
    "latency": (50, 90, 95, 99),
    "time_to_first_token": (50, 90, 99),
    "client_lag": (50, 99),
}
LONGEST_ERROR = 120  # characters


def of_search(search: SearchResult, objective: dict[str, float]) -> results.Metrics:
    """The metrics of the highest rate that is shown to hold, and of each that was tried.

    `sustained_rps` is that rate, and the low end of its interval; the high end is the lowest rate
    that is shown to fail, absent, and `bounded` false, if none is. If none is shown to hold,
    `objective_met` is false, `sustained_rps` is absent, and the other metrics are those of the
    lowest rate; `needs_longer` is true if that rate was not shown to fail either.
    """
    best, failed = search.best, search.lowest_failed
    rates = {
        str(number): {"offered_rps": load.rate, "verdict": load.verdict, **of_load(load, objective)}
        for number, load in enumerate(sorted(search.loads, key=lambda load: load.rate or 0), 1)
    }
    sustained: dict[str, Any] = {"needs_longer": search.nearest.verdict == "undecided"}
    if best is not None:
        sustained = {"sustained_rps": best.rate, "sustained_rps_low": best.rate}
    if best is not None and failed is not None:
        sustained["sustained_rps_high"] = failed.rate
    return results.rounded_all(
        {
            "objective": " and ".join(f"{name} <= {value:g}" for name, value in objective.items()),
            "objective_met": best is not None,
            "bounded": failed is not None,
            "offered_rps": search.nearest.rate,
            **sustained,
            **of_load(search.nearest, objective),
            "rates": rates,
        }
    )


def of_load(load: Load, objective: dict[str, float]) -> dict[str, Any]:
    """Counts, the share that is late, percentiles (s) of the answered requests, mean tokens.

    A percentile has an interval, `latency_p99_s_low` and `_high`, as if requests were independent.
    Where there are too few for one, `latency_p99_s_needs` says how many there must be instead.
    """
    errors = _failed_requests(load)
    common = Counter(request.error for request in errors).most_common(1)
    return {
        "achieved_rps": load.achieved_rps,
        "requests": len(load.requests),
        "requests_planned": load.planned,
        "errors": sum(not request.timed_out for request in errors),
        "timeouts": sum(request.timed_out for request in errors),
        **({"most_common_error": common[0][0][:LONGEST_ERROR]} if common else {}),
        **late_shares(load, objective),
        **_percentiles(load),
        **_tokens(load),
    }


def of_single(loads: Sequence[Load]) -> dict[str, float]:
    """`prefill_s`, `decode_s`: median seconds of a request alone, to its first token and after it.

    An answer of one token is all prefill.
    """
    requests = [request for load in loads for request in load.successful]
    answers = [request.tokens_out for request in requests]
    prefill = [request.seconds("time_to_first_token") - request.seconds("client_lag")
               for request in requests]  # fmt: skip
    latency = [request.seconds("latency") - request.seconds("client_lag") for request in requests]
    if all(tokens is not None and tokens <= 1 for tokens in answers):
        return {"prefill_s": median(latency), "decode_s": 0.0}
    decode = [whole - first for whole, first in zip(latency, prefill, strict=True)]
    return {"prefill_s": median(prefill), "decode_s": median(decode)}


def late_shares(load: Load, objective: dict[str, float]) -> dict[str, float]:
    """The share of requests that missed each limit, as `late_latency_p99_s`; failed ones did."""
    return {
        f"late_{name}": fmean(request.seconds(what) > seconds for request in load.requests)
        for name, (what, _, seconds) in zip(objective, limits(objective), strict=True)
        if load.requests
    }


def line(load: Load, objective: dict[str, float]) -> str:
    """One load as a log line."""
    parts, failures = [f"{load.rate:.3g} requests/s"], _failed_requests(load)
    for name, share in late_shares(load, objective).items():
        what = name.removeprefix("late_")
        parts.append(f"{100 * share:.3g}% of {len(load.requests)} above {what}")
    if failures:
        error = Counter(request.error for request in failures).most_common(1)[0][0]
        parts.append(f"{len(failures)} failed, most by {error[:LONGEST_ERROR]}")
    return f"{', '.join(parts)}: {load.verdict}"


def _failed_requests(load: Load) -> list[Request]:
    return [request for request in load.requests if request.error and not request.cancelled]


def _percentiles(load: Load) -> dict[str, float]:
    return {
        name: value
        for what, percents in PERCENTS.items()
        for percent in percents
        for name, value in _percentile(load, what, percent).items()
        if load.successful
    }


def _percentile(load: Load, what: str, percent: int) -> dict[str, float]:
    import numpy as np

    values = [request.seconds(what) for request in load.successful]
    name = f"{what}_p{percent}_s"
    interval = statistics.of_quantile(values, percent / 100)
    if interval is None:
        return {f"{name}_needs": statistics.needed_for_quantile(percent / 100)}
    low, high = metrics.interval(name)
    return {name: float(np.percentile(values, percent)), low: interval[0], high: interval[1]}


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
