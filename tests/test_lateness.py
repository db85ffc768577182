"""Whether a rate holds, decided from hand-made latencies and from simulated queues."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tunebench.serving.lateness import Limit, Plan, lower_bound, upper_bound

P90, P99 = Limit("latency", 0.1, 1.0), Limit("latency", 0.01, 1.0)
ERROR = 0.01


def plan(limit: Limit = P90, **given: Any) -> Plan:
    return Plan([limit], **{"first": 100, "hold": 100, "most": 800} | given)


def queue(utilization: float, count: int, seed: int = 0) -> Any:
    """Latencies of an M/M/1 queue that starts empty, whose mean service takes 0.1 s."""
    random = np.random.default_rng(seed)
    arrivals = random.exponential(0.1 / utilization, count).cumsum()
    done = random.exponential(0.1, count).cumsum()
    return done + np.maximum.accumulate(arrivals - np.concatenate(([0], done[:-1]))) - arrivals


def spread(late: int, count: int) -> list[float]:
    """Late requests far from each other."""
    latencies = [0.5] * count
    for index in range(late):
        latencies[index * count // late] = 2.0
    return latencies


def test_what_is_clear() -> None:
    assert plan().verdict({"latency": [0.5] * 200}) == "holds"
    assert plan().verdict({"latency": [1.5] * 100}) == "fails"
    assert plan().verdict({"latency": [float("inf")] * 100}) == "fails"
    assert plan().verdict({"latency": spread(20, 200)}) == "undecided"


def test_a_p99_needs_hundreds_of_requests() -> None:
    assert plan(P99).verdict({"latency": [0.5] * 300}) == "undecided"
    assert plan(P99).verdict({"latency": [0.5] * 800}) == "holds"
    assert not plan(P99, most=300).can_hold
    assert plan(P99, most=800).can_hold


def test_nothing_holds_before_it_was_held_long_enough() -> None:
    assert plan(hold=400).verdict({"latency": [0.5] * 200}) == "undecided"
    assert plan(hold=400).verdict({"latency": [1.5] * 200}) == "fails"


def test_late_requests_in_a_row_tell_less_than_scattered_ones() -> None:
    scattered = np.array(spread(50, 200))
    in_a_row = np.sort(scattered)
    assert lower_bound(scattered, P90, ERROR) > 0.1 > lower_bound(in_a_row, P90, ERROR)
    few = np.array(spread(8, 400))
    assert upper_bound(few, P90, ERROR) < upper_bound(np.sort(few), P90, ERROR)


def test_a_queue_that_grows_is_not_shown_to_hold() -> None:
    growing = np.linspace(0.1, 0.9, 400)
    assert upper_bound(growing, P90, ERROR) == 1.0
    noise = np.random.default_rng(0).permutation(growing)
    assert upper_bound(noise, P90, ERROR) <= 0.1


def test_both_limits_must_hold() -> None:
    both = Plan([P90, Limit("time_to_first_token", 0.1, 0.2)], first=100, hold=100, most=400)
    good, slow = [0.1] * 400, [0.3] * 400
    assert both.verdict({"latency": good, "time_to_first_token": good}) == "holds"
    assert both.verdict({"latency": good, "time_to_first_token": slow}) == "fails"


@pytest.mark.parametrize(
    ("utilization", "wrong", "right"),
    # 10 - 10 * utilization is the exponential rate of the latency: at 0.77 a tenth is above 1 s
    [(0.3, "fails", "holds"), (0.77, "holds", ""), (0.77, "fails", ""), (1.3, "holds", "fails")],
)
def test_queues_are_decided_rightly(utilization: float, wrong: str, right: str) -> None:
    how = plan(most=1600)
    verdicts = [decided(how, queue(utilization, 1600, seed)) for seed in range(60)]
    assert verdicts.count(wrong) <= 0.1 * len(verdicts)
    if right:
        assert verdicts.count(right) >= 0.9 * len(verdicts)


def decided(how: Plan, latencies: Sequence[float]) -> str:
    for look in how.looks:
        verdict = how.verdict({"latency": latencies[:look]})
        if verdict != "undecided":
            return verdict
    return "undecided"


def info(number: int, *, due: float, end: float | None = None, error: str | None = None) -> Any:
    """What guidellm tells of a request: one that is in progress if it has no end."""
    moments = SimpleNamespace(targeted_start=due, first_token_iteration=None, request_end=end)
    status = "errored" if error else "in_progress" if end is None else "completed"
    return SimpleNamespace(request_id=f"{number}-0", status=status, timings=moments, error=error)


def told(how: Plan, infos: Sequence[Any], now: float) -> Any:
    from tunebench.serving.generator import Decided

    constraint = Decided(how)
    constraint.infos = dict(enumerate(infos))
    constraint.look(now)
    return constraint


def test_a_load_ends_once_its_first_requests_tell() -> None:
    ended = [info(number, due=number, end=number + 0.5) for number in range(400)]
    holds = told(plan(), ended, 400.0)
    assert (holds.verdict, holds.count) == ("holds", 100)
    assert told(plan(P99), ended, 400.0).verdict == "undecided"


def test_requests_that_are_overdue_are_late_already() -> None:
    waiting = [info(number, due=number / 1000) for number in range(100)]
    assert told(plan(), waiting, 0.9).verdict == "undecided"
    fails = told(plan(), waiting, 1.2)
    assert (fails.verdict, fails.count) == ("fails", 100)


def test_a_rate_holds_only_once_its_requests_ended() -> None:
    infos = [info(number, due=number, end=number + 0.5) for number in range(800)]
    infos[3] = info(3, due=3)
    assert told(plan(), infos, 900.0).verdict == "undecided"


def test_failed_requests_are_late() -> None:
    infos = [info(number, due=number, end=number + 0.1, error="x") for number in range(100)]
    assert told(plan(), infos, 200.0).verdict == "fails"
