"""Simulate what a timing says of requests whose truth is known:

    python benchmarks/steadiness.py

Prints one JSON line. `steady`: how often requests are called steady, of some noise (the standard
deviation of their logarithms) and a drift from the first to the last round, in `warm_up` (3
requests a window) and of 8 and 64 prompts in 3 rounds; the rule before was that the medians of two
windows lie within 5%. `percentiles`: how often an interval holds the true percentile of a request's
latency, and the mean of the estimate over the truth, for prompts of different lengths with
independent noise in each of 3 rounds; `of_medians` takes the median of each prompt's rounds first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from measure import machine

from tunebench.metrics import statistics
from tunebench.timing.clock import MAX_WARMUP_REQUESTS, WINDOW, is_steady, warm_up
from tunebench.timing.rounds import percentiles

ROUNDS = 3
CASES = ((0.01, 0.0), (0.02, 0.0), (0.05, 0.0), (0.1, 0.0), (0.2, 0.0), (0.3, 0.0),
         (0.02, 0.05), (0.02, 0.1))  # fmt: skip
SPREAD, NOISE = 0.3, 0.2  # of the prompts' latencies, and of a request's from round to round


def main() -> None:
    """Print all shares as one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="simulated timings of each case")
    draws = parser.parse_args().draws
    steady = {
        f"noise {noise:g}, drift {drift:g}": steady_share(noise, drift, draws)
        for noise, drift in CASES
    }
    sizes = {50: (8, 64), 90: (40, 64), 99: (368, 500)}
    carried = {
        f"p{percent} of {count} prompts": percentile_coverage(percent, count, draws)
        for percent, counts in sizes.items()
        for count in counts
    }
    line = {"benchmark": "steadiness", "machine": machine(), "draws": draws, "steady": steady,
            "percentiles": carried}  # fmt: skip
    print(json.dumps(line))


def steady_share(noise: float, drift: float, draws: int) -> dict[str, float]:
    """How often requests of that noise and drift are called steady, by each rule."""
    dice = np.random.default_rng(0)

    def share(called: list[bool]) -> float:
        return round(float(np.mean(called)), 3)

    def rounds(prompts: int) -> bool:
        times = _times(dice, ROUNDS, prompts, noise, drift)
        return is_steady(times[:1], times[-1:])

    def windows() -> list[list[float]]:
        return _times(dice, MAX_WARMUP_REQUESTS // WINDOW, WINDOW, noise, drift)

    return {
        "medians_within_5_percent": share([_medians_agree(windows()) for _ in range(draws)]),
        "warm_up": share([_warmed_up(windows()) for _ in range(draws)]),
        "rounds_of_8": share([rounds(8) for _ in range(draws)]),
        "rounds_of_64": share([rounds(64) for _ in range(-(-draws // 5))]),
    }


def percentile_coverage(percent: int, prompts: int, draws: int) -> dict[str, float]:
    """How often the interval of a percentile holds the true one, and the estimate over it."""
    from scipy.stats import norm

    dice = np.random.default_rng(0)
    truth = float(np.exp(norm.ppf(percent / 100) * np.hypot(SPREAD, NOISE)))
    name = f"x_p{percent}_s"
    held, estimates, of_medians = [], [], []
    for _ in range(draws):
        lengths = dice.normal(0, SPREAD, prompts)
        rounds = np.exp(lengths + dice.normal(0, NOISE, (ROUNDS, prompts)))
        found = percentiles("x", rounds.tolist())
        held.append(found[f"{name}_low"] <= truth <= found[f"{name}_high"])
        estimates.append(found[name] / truth)
        of_medians.append(np.percentile(np.median(rounds, axis=0), percent) / truth)
    return {
        "needed": statistics.needed_for_quantile(percent / 100),
        "coverage": round(float(np.mean(held)), 3),
        "estimate_over_truth": round(float(np.mean(estimates)), 3),
        "of_medians_over_truth": round(float(np.mean(of_medians)), 3),
    }


def _times(
    dice: np.random.Generator, rows: int, prompts: int, noise: float, drift: float
) -> list[list[float]]:
    """Seconds of requests of a tenth each, rows of the same prompts; the first row's are slower by
    drift."""
    slower = np.log1p(drift) * np.linspace(1, 0, rows)[:, None]
    made: list[list[float]] = (
        0.1 * np.exp(slower + dice.normal(0, noise, (rows, prompts)))
    ).tolist()
    return made


def _warmed_up(windows: Sequence[Sequence[float]]) -> bool:
    left = iter(windows)
    return warm_up(lambda: next(left))[1]


def _medians_agree(windows: Sequence[Sequence[float]]) -> bool:
    """Whether the medians of two windows in a row are within 5% of each other."""
    medians = [median(window) for window in windows]
    return any(abs(after - before) <= 0.05 * before for before, after in pairwise(medians))


if __name__ == "__main__":
    main()
