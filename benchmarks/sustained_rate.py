"""Search the sustained rate of simulated queues whose exact rate is known:

    python benchmarks/sustained_rate.py

The queues are simulated (Lindley's recursion), the decisions and the search are those of
`load_test`. Prints one JSON line: for each queue and each setting the share of searches whose
interval contains the exact rate (nominal: 0.9 or more), the share whose sustained rate is above it
(0.1 or less), the median width of the interval as high / low, the median rate as a fraction of the
exact one, the median seconds of load and number of rates, and the mean share of late requests in
the long run at the rate that was shown, with what the objective allows.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections.abc import Callable
from functools import cache
from statistics import fmean, median
from typing import Any

import numpy as np
from measure import machine
from numpy.typing import NDArray

from tunebench.config.inference import Serving
from tunebench.serving.lateness import Plan
from tunebench.serving.load import Load
from tunebench.serving.search import highest_rate, plan_of

Floats = NDArray[np.float64]
# arrivals and standard exponential draws → latencies (s)
Queue = Callable[[Floats, Floats], Floats]

SERVICE_S = 1 / 31.6  # so that the exact rate of one server for p99 <= 1 s is 27.0/s
SERVERS = 8
BATCH_S, ROW_S, BATCH_ROWS = 0.05, 0.01, 16  # a batch takes BATCH_S + ROW_S a row
LONG_RUN = 400_000  # requests
SETTINGS: dict[str, dict[str, Any]] = {
    "demo": {"objective": {"latency_p90_s": 1.0}, "min_requests": 100, "hold_s": 10.0,
             "longest_hold_s": 30.0, "rate_precision": 0.2, "max_rates": 8},
    "p99": {"objective": {"latency_p99_s": 1.0}},  # and the defaults
}  # fmt: skip


def main() -> None:
    """Search many times and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=300, help="of each queue and setting")
    parser.add_argument("--queues", nargs="+", default=list(QUEUES), choices=list(QUEUES))
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    given = parser.parse_args()
    found = {
        name: {
            queue: simulate(queue, Serving(**SETTINGS[name]), given.searches)
            for queue in given.queues
        }
        for name in given.settings
    }
    print(
        json.dumps(
            {
                "benchmark": "sustained_rate",
                "machine": machine(),
                "searches": given.searches,
                **found,
            }
        )
    )


def simulate(queue: str, settings: Serving, searches: int) -> dict[str, float]:
    """What so many searches of one queue find; see the module's docstring."""
    exact = exact_rate(queue, *_only_limit(settings))
    results = [_search(queue, settings, seed) for seed in range(searches)]
    held = [low for low, _, _, _ in results if low is not None]
    late = [late_share(queue, low, _only_limit(settings)[1]) for low in held]
    contains = [
        low is not None and low <= exact <= (math.inf if high is None else high)
        for low, high, _, _ in results
    ]
    widths = [high / low for low, high, _, _ in results if low and high]
    told = {
        "exact_rps": exact,
        "contains": fmean(contains),
        "above": sum(low > exact for low in held) / searches,
        "none_shown": 1 - len(held) / searches,
        "seconds": median(seconds for _, _, seconds, _ in results),
        "rates": median(rates for _, _, _, rates in results),
        "late_allowed": _only_limit(settings)[0],
    }
    if held:
        told |= {"low_over_exact": median(held) / exact, "late_share": fmean(late)}
    if widths:
        told["high_over_low"] = median(widths)
    return {name: round(value, 4) for name, value in told.items()}


def _search(
    queue: str, settings: Serving, seed: int
) -> tuple[float | None, float | None, float, int]:
    """The highest rate shown to hold, the lowest shown to fail, seconds of load, rates tried."""
    random, seconds = np.random.default_rng(seed), 0.0

    def measure(rate: float) -> Load:
        nonlocal seconds
        load, spent = _load(QUEUES[queue], rate, plan_of(rate, settings), random)
        seconds += spent
        return load

    idle_s = float(QUEUES[queue](np.zeros(1), np.ones(1))[0])
    result = highest_rate(measure, 1 / idle_s, settings)
    low, high = (load.rate if load else None for load in (result.best, result.lowest_failed))
    return low, high, seconds, len(result.loads)


def _load(queue: Queue, rate: float, plan: Plan, random: np.random.Generator) -> tuple[Load, float]:
    """One simulated load, and its seconds until the decision."""
    arrivals = random.exponential(1 / rate, plan.most).cumsum()
    latencies = queue(arrivals, random.exponential(size=plan.most))
    limit_s = max(limit.seconds for limit in plan.limits)
    for look in plan.looks:
        verdict = plan.verdict({"latency": latencies[:look]})
        if verdict != "undecided":
            break
    known = arrivals[:look] + np.minimum(latencies[:look], limit_s)
    return Load(rate, plan.most, [], verdict), float(known.max())


def exact_rate(queue: str, allowed: float, limit_s: float) -> float:
    """The rate at which the share of late requests is what is allowed in the long run."""
    if queue == "one server":  # the latency is exponential
        return 1 / SERVICE_S + math.log(allowed) / limit_s
    low, high = 0.0, CAPACITY[queue]
    while high / max(low, 1e-9) > 1.005:
        middle = (low + high) / 2
        if late_share(queue, middle, limit_s) <= allowed:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@cache
def late_share(queue: str, rate: float, limit_s: float) -> float:
    """The share of late requests in the long run."""
    if rate >= CAPACITY[queue]:
        return 1.0
    if queue == "one server":
        return math.exp((rate - 1 / SERVICE_S) * limit_s)
    random = np.random.default_rng(1)
    arrivals = random.exponential(1 / rate, LONG_RUN).cumsum()
    return float((QUEUES[queue](arrivals, random.exponential(size=LONG_RUN)) > limit_s).mean())


def one_server(arrivals: Floats, drawn: Floats) -> Floats:
    """M/M/1, first come first served."""
    done = (drawn * SERVICE_S).cumsum()
    ends = done + np.maximum.accumulate(arrivals - np.concatenate(([0.0], done[:-1])))
    latencies: Floats = ends - arrivals
    return latencies


def several_servers(arrivals: Floats, drawn: Floats) -> Floats:
    """M/M/8, each server as slow as 8 of the one above are fast."""
    free, latencies = [0.0] * SERVERS, np.empty_like(arrivals)
    for index, (due, work) in enumerate(zip(arrivals.tolist(), drawn.tolist(), strict=True)):
        end = max(due, heapq.heappop(free)) + work * SERVICE_S * SERVERS
        heapq.heappush(free, end)
        latencies[index] = end - due
    return latencies


def batches(arrivals: Floats, _: Floats) -> Floats:
    """One server that answers all that wait at once, up to a largest batch."""
    due, latencies = arrivals.tolist(), np.empty_like(arrivals)
    free, start = 0.0, 0
    while start < len(due):
        begin, end = max(free, due[start]), start + 1
        while end < len(due) and end - start < BATCH_ROWS and due[end] <= begin:
            end += 1
        free = begin + BATCH_S + ROW_S * (end - start)
        latencies[start:end] = free - arrivals[start:end]
        start = end
    return latencies


QUEUES: dict[str, Queue] = {
    "one server": one_server,
    "several servers": several_servers,
    "batches": batches,
}
CAPACITY = {  # requests/s
    "one server": 1 / SERVICE_S,
    "several servers": 1 / SERVICE_S,
    "batches": BATCH_ROWS / (BATCH_S + ROW_S * BATCH_ROWS),
}


def _only_limit(settings: Serving) -> tuple[float, float]:
    (limit,) = plan_of(1.0, settings).limits
    return limit.allowed, limit.seconds


if __name__ == "__main__":
    main()
