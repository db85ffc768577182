"""Peak memory, and its end: the accelerator's where there is one, else this process's."""

from __future__ import annotations

import resource
import sys


def reset_peak() -> None:
    """Start counting anew where the device can; a process's own peak cannot be reset."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Largest memory so far, in bytes: allocated on the GPU, or resident on a machine without."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def reserved_bytes() -> int | None:
    """Largest memory that torch has taken from the GPU so far, its spare room included."""
    import torch

    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else None


def has_ended(error: BaseException) -> bool:
    """Whether an error says that memory ended: a GPU's, or this process's."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's own words on a CPU, which has no class for it
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
