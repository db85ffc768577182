"""What every benchmark needs: a clock, and the machine's name."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def timed(work: Callable[[], T], repeats: int = 1) -> tuple[float, T]:
    """The median of some runs' seconds, after one that is not counted, and what came out."""
    if repeats > 1:
        work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = work()
        synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), found


def synchronize() -> None:
    """Wait for a GPU to finish what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> str:
    """What the numbers were measured on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU cores, {platform.machine()}, no GPU"
