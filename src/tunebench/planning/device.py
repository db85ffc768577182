"""The device that runs the stages: its memory and its speed, without torch."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from time import perf_counter

from tunebench import results
from tunebench.doctor import gpus, hardware
from tunebench.estimates.memory import Kind
from tunebench.estimates.seconds import MEASURED_FLOPS
from tunebench.init.machine import GPU_FLOPS
from tunebench.paths import PLAN

REMEMBERED = PLAN / "device.json"
SIDE, ROUNDS, PRODUCTS = 1024, 3, 4


@dataclass(frozen=True)
class Device:
    """Memory in bytes (0 where the system does not say), and FLOP/s of large matrix products.

    `measured` is false of a GPU, whose speed only torch could measure.
    """

    kind: Kind
    name: str
    memory_bytes: int
    flops: float
    measured: bool = True


def here(*, quickly: bool = False) -> Device:
    """This machine's device.

    Args:
        quickly: take the speed that an earlier plan measured.
    """
    from tunebench.config.machine import has_gpu

    if has_gpu() and gpus.torch_cuda():
        try:
            found = gpus.query_gpus()
        except (OSError, subprocess.SubprocessError, ValueError):
            found = []
        if found:
            largest = max(found, key=lambda gpu: gpu.total_bytes)
            return Device("cuda", largest.name, largest.total_bytes, GPU_FLOPS, measured=False)
    cores = hardware.cores()
    name = f"{cores:g} cores, no GPU"
    return Device("cpu", name, hardware.memory()[0], _flops(name, quickly=quickly))


def _flops(name: str, *, quickly: bool) -> float:
    """FLOP/s in float32, measured in a tenth of a second, or remembered."""
    known = results.earlier(REMEMBERED) or {}
    if quickly:
        return float(known.get(name) or MEASURED_FLOPS)
    import numpy as np

    matrix = np.full((SIDE, SIDE), 0.5, np.float32)
    matrix @ matrix
    best = 0.0
    for _ in range(ROUNDS):
        started = perf_counter()
        for _ in range(PRODUCTS):
            matrix @ matrix
        best = max(best, PRODUCTS * 2 * SIDE**3 / (perf_counter() - started))
    results.write(REMEMBERED, known | {name: round(best)})
    return best
