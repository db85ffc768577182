"""Cores, memory, processor, GPUs and disks of this machine, without torch."""

from __future__ import annotations

import configparser
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tunebench import paths
from tunebench.doctor.findings import Finding, fault, ok, size, warning

CGROUP = Path("/sys/fs/cgroup")
CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
# by /proc/cpuinfo, the fastest first
BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "Arm BF16"}
FULL_BYTES, LOW_BYTES = 1e9, 10e9  # a 7B model in bfloat16 is 14.5 GB
LOW_MEMORY_BYTES = 2e9  # the demo's training peaks at 0.8 GB
NVIDIA_SMI = (
    "nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version,compute_cap",
    "--format=csv,noheader,nounits",
)  # fmt: skip
PATIENCE_S = 2.0
MIB = 1 << 20


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


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    total_bytes: int
    free_bytes: int
    driver: str
    capability: str


def gpus() -> Iterator[Finding]:
    """GPUs with their driver, and whether the installed torch uses them."""
    from tunebench.config.machine import has_gpu

    built_for = torch_cuda()
    if not has_gpu():
        yield ok("machine", "device", "cpu: this machine shows no GPU", device="cpu", gpus=[])
        return
    if Path("/dev/kfd").exists():  # AMD's, whose tools differ from release to release
        text = f"an AMD GPU; torch for ROCm {built_for}" if built_for else "an AMD GPU"
        yield ok("machine", "device", text, device="cuda" if built_for else "cpu", gpus=[])
        return
    try:
        found = query_gpus()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield warning(
            "machine",
            "device",
            f"a GPU is there, and nvidia-smi does not answer ({type(error).__name__})",
            remedy="install or restart NVIDIA's driver, then: nvidia-smi",
        )
        return
    for gpu in found:
        text = f"{gpu.name}, {size(gpu.free_bytes)} free of {size(gpu.total_bytes)}"
        text += f", driver {gpu.driver}, compute capability {gpu.capability}"
        values = vars(gpu) | {"device": "cuda", "torch_cuda": built_for}
        if built_for:
            yield ok("machine", "device", f"{text}; torch for CUDA {built_for}", **values)
        else:
            yield warning(
                "machine",
                "device",
                f"{text}; the installed torch is built without CUDA and will not use it",
                remedy=f"{sys.executable} -m pip install --force-reinstall --no-deps torch=="
                f"{_torch_version()}",
                **values,
            )


def query_gpus() -> list[Gpu]:
    """All GPUs that nvidia-smi names.

    Raises:
        OSError, subprocess.SubprocessError: if it is not there, fails or takes too long.
        ValueError: if it answers something else.
    """
    done = subprocess.run(
        NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    return [_gpu(line) for line in done.stdout.splitlines() if line.strip()]


def _gpu(line: str) -> Gpu:
    """A line of nvidia-smi's, with MiB.

    >>> _gpu("NVIDIA H100, 81559, 81000, 570.86, 9.0").total_bytes
    85520809984
    """
    name, total, free, driver, capability = (part.strip() for part in line.rsplit(",", 4))
    return Gpu(name, int(total) * MIB, int(free) * MIB, driver, capability)


def torch_cuda() -> str:
    """The CUDA (or ROCm) version that the installed torch is built for; empty if for neither."""
    found = re.search(r"^(?:cuda|hip)\b[^=]*= '([^']+)'", _torch_build(), re.MULTILINE)
    return found[1] if found else ""


def _torch_version() -> str:
    found = re.search(r"^__version__ = '([^'+]+)", _torch_build(), re.MULTILINE)
    return found[1] if found else ""


def _torch_build() -> str:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    file = Path(spec.origin).with_name("version.py")
    return file.read_text(encoding="utf-8") if file.exists() else ""


def disks() -> Iterator[Finding]:
    """Room where data/, the Hugging Face cache and DVC's cache lie."""
    places = (
        ("data/", paths.DATA, "make room, or put data/ on a larger disk by a link"),
        ("HF cache", hub_cache(), "make room: hf cache prune; or: export HF_HOME=<a larger disk>"),
        ("DVC cache", dvc_cache(), "make room: dvc gc -w; or: dvc cache dir --local <a folder>"),
    )
    for name, folder, remedy in places:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        values = {"folder": str(folder), "free_bytes": free}
        text = f"{size(free)} free for {folder}"
        if not os.access(there, os.W_OK):
            remedy = f"chmod u+w {there}"
            yield fault("machine", name, f"{there} cannot be written to", remedy=remedy, **values)
        elif free < FULL_BYTES:
            yield fault("machine", name, text, remedy=remedy, **values)
        elif free < LOW_BYTES:
            yield warning("machine", name, text, remedy=remedy, **values)
        else:
            yield ok("machine", name, text, **values)


def hub_cache() -> Path:
    """The folder of downloaded models, as huggingface_hub would choose it."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    return Path(HF_HUB_CACHE)


def dvc_cache() -> Path:
    """DVC's cache, as the repository's own configuration files name it."""
    folder = Path(".dvc")
    for name in ("config.local", "config"):
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(folder / name, encoding="utf-8")
        if directory := settings.get("cache", "dir", fallback=""):
            return Path(os.path.normpath(folder / Path(directory).expanduser()))
    return folder / "cache"
