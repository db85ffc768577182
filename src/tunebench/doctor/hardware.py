"""Cores and memory of this machine, and whether its processor computes in bfloat16."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tunebench.doctor.findings import Finding, ok, size, warning

CGROUP = Path("/sys/fs/cgroup")
CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
# by /proc/cpuinfo, the fastest first
BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "Arm BF16"}
LOW_MEMORY_BYTES = 2e9  # the demo's training peaks at 0.8 GB


def machine() -> Iterator[Finding]:
    """Cores, memory, and whether the processor computes in bfloat16."""
    usable, all_cores = cores(), os.cpu_count() or 1
    limited = f" of {all_cores}" if usable != all_cores else ""
    yield ok(
        "machine",
        "processor",
        f"{usable:g}{limited} cores, {platform.machine()}, {sys.platform}",
        cores=usable,
        cores_installed=all_cores,
    )
    total, free = memory()
    if not total:
        yield ok("machine", "memory", "this system does not say how much there is")
    elif free < LOW_MEMORY_BYTES:
        yield warning(
            "machine",
            "memory",
            f"{size(free)} free of {size(total)}; the demo's stages need about 1 GB each",
            remedy="end what takes it: ps -eo pid,rss,args --sort=-rss | head",
            total_bytes=total,
            free_bytes=free,
        )
    else:
        yield ok(
            "machine",
            "memory",
            f"{size(free)} free of {size(total)}",
            total_bytes=total,
            free_bytes=free,
        )
    yield _bfloat16()


def cores() -> float:
    """Cores that this process may use: of its affinity and of its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota = _words(CGROUP / "cpu.max")  # "200000 100000", in microseconds; or "max 100000"
    if len(quota) == 2 and quota[0].isdecimal():
        usable = min(usable, int(quota[0]) / int(quota[1]))
    return usable


def memory() -> tuple[int, int]:
    """This machine's memory, and what of it is free, in bytes, within a container's limit.

    Both are 0 where the system does not say.
    """
    found = {}
    if MEMORY_INFO.exists():
        lines = re.findall(r"^(\w+): +(\d+) kB", MEMORY_INFO.read_text(), re.MULTILINE)
        found = {name: int(kilobytes) * 1024 for name, kilobytes in lines}
    elif find_spec("psutil"):
        import psutil

        now = psutil.virtual_memory()
        found = {"MemTotal": now.total, "MemAvailable": now.available}
    total, free = found.get("MemTotal", 0), found.get("MemAvailable", 0)
    limit, used = _words(CGROUP / "memory.max"), _words(CGROUP / "memory.current")
    if limit and limit[0].isdecimal() and used:
        total = min(total, int(limit[0]))
        free = min(free, max(0, int(limit[0]) - int(used[0])))
    return total, free


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _bfloat16() -> Finding:
    flags: set[str] = set()
    if CPU_INFO.exists():
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", CPU_INFO.read_text(), re.MULTILINE)
        flags = set(found[1].split()) if found else set()
    fast = [name for flag, name in BFLOAT16.items() if flag in flags]
    if fast:
        text = f"{', '.join(fast)}: dtype bfloat16 is fast on this processor"
    elif flags:
        text = "neither AMX nor AVX512-BF16: on this processor, dtype float32 is the faster"
    else:
        text = "this system does not say whether its processor computes in it"
    return ok("machine", "bfloat16", text, instructions=fast)
