"""What every benchmark needs: a clock, the machine's name, and a place to run stages from."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]


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
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> str:
    """What the numbers were measured on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU cores, {platform.machine()}, no GPU"


def environment() -> dict[str, str]:
    """A stage's, which runs in a project elsewhere with this repository's own sources."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
