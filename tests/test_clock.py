"""Requests are steady only where that is shown; garbage is not collected while they are timed."""

import gc

import numpy as np
import pytest

from tunebench.timing import clock


@pytest.mark.parametrize(
    ("tenths", "least", "expected"),
    [
        ([1.0] * 40, 2, (12, True, 1.0)),
        ([1.0] * 40, 14, (15, True, 1.0)),
        # what differs from request to request of a window is no drift
        ([1.0, 3.0, 9.0] * 14, 2, (12, True, 3.0)),
        ([9.0, 5.0, 3.0, 2.0, 1.5, 1.2, *[1.0] * 40], 1, (18, True, 1.0)),
        # a request was interrupted
        ([*[1.0] * 4, 9.0, *[1.0] * 40], 1, (18, True, 1.0)),
        ([2.0 ** -(index // 3) for index in range(90)], 1, (30, False, 2.0**-9)),
        ([2.0 ** -(index // 3) for index in range(90)], 40, (42, False, 2.0**-13)),
        ([1.0, 1.3, 0.8, 1.2, 0.7, 1.4, 1.1] * 5, 1, (30, False, 1.1)),
        # requests of seconds need not be thirty
        ([40.0] * 40, 1, (6, False, 40.0)),
        ([40.0] * 40, 8, (9, False, 40.0)),
    ],
)
def test_warm_up_ends_when_requests_are_steady(
    tenths: list[float], least: int, expected: tuple[int, bool, float]
) -> None:
    left = iter(tenths)

    def window() -> list[float]:
        return [next(left) / 10 for _ in range(3)]

    count, steady, last = clock.warm_up(window, least)
    assert (count, steady, pytest.approx(10 * last)) == expected


@pytest.mark.parametrize(
    ("noise", "drift", "low", "high"),
    [
        (0.02, 0.0, 0.95, 1.0),  # steady
        (0.2, 0.0, 0.0, 0.02),  # noise tells nothing
        (0.02, 0.06, 0.0, 0.05),  # still warming up
        (0.02, -0.06, 0.0, 0.05),  # throttled
    ],
)
def test_steadiness_is_shown_and_not_assumed(
    noise: float, drift: float, low: float, high: float
) -> None:
    dice = np.random.default_rng(0)
    prompts = dice.lognormal(0, 0.5, 8)  # of different lengths

    def times(change: float) -> list[list[float]]:
        return [list(prompts * np.exp(change) * dice.lognormal(0, noise, 8))]

    shown = [clock.is_steady(times(drift), times(0.0)) for _ in range(500)]
    assert low <= np.mean(shown) <= high


def test_too_few_requests_show_nothing() -> None:
    assert not clock.is_steady([[1.0] * 4], [[1.0] * 4])
    assert clock.is_steady([[1.0] * 5], [[1.0] * 6])


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_afterwards(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), clock.garbage_collection_off():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
