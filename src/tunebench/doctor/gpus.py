"""GPUs and their driver, and whether the installed torch is built for them; without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tunebench.doctor.findings import Finding, ok, size, warning

NVIDIA_SMI = (
    "nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version,compute_cap",
    "--format=csv,noheader,nounits",
)  # fmt: skip
PATIENCE_S = 2.0
MIB = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    total_bytes: int
    free_bytes: int
    driver: str
    capability: str


def check() -> Iterator[Finding]:
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
