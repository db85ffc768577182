"""How much the seconds of the same work differ from run to run on the machine of a study."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import log
from statistics import stdev

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.metrics import statistics
from tunebench.paths import Run
from tunebench.report.prices import TWO_SIDED

RUNS = 3  # of fewer, the spread says next to nothing


def measured(params: Params) -> Params:
    """The parameters with the `hardware.repeatability` that this study's runs show, if it is more.

    Each training measures the machine's speed with the same matrix products, for MFU. Where other
    work shares the machine, or it is throttled, that speed differs from run to run, and so would
    the seconds of any other work.
    """
    shown = spread(_speeds(params))
    hardware = params.hardware
    if shown <= hardware.repeatability:
        return params
    hardware = hardware.model_copy(update={"repeatability": results.rounded(shown, 2)})
    return params.model_copy(update={"hardware": hardware})


def spread(speeds: Sequence[float]) -> float:
    """The relative standard deviation of some speeds, larger by Student's t where they are few.

    0 if there are fewer than three.
    """
    if len(speeds) < RUNS:
        return 0.0
    uncertain = statistics.t_quantile(len(speeds) - 1) / TWO_SIDED
    return stdev(map(log, speeds)) * uncertain


def _speeds(params: Params) -> list[float]:
    """The measured peak FLOPs per second of each training that is there, with a model."""
    grid = params.grid
    axes = product(grid.models, grid.datasets, grid.tuning, grid.train_sizes, grid.seeds)
    trained = (results.earlier(paths.train(Run(*axis))) for axis in axes)
    return [
        run["model_flops_per_s"] / run["model_flops_utilization"]
        for run in trained
        if run and run.get("model_flops_utilization")
    ]
