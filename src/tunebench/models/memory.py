"""Memory, the accelerator's or else this process's: its peak, and what to do if it runs out."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

T = TypeVar("T")


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


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out: a GPU's, or this process's."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's own words on a CPU, which has no class for it
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def unless_exhausted(work: Callable[[], T]) -> T | None:
    """What `work` returns, which is never None; None if memory ran out, and is free again."""
    try:
        return work()
    except Exception as error:
        if not is_exhausted(error):
            raise
    # past the except clause, whose traceback holds the tensors of every frame
    release()
    return None


def release() -> None:
    """Free what is not used any more, on the device too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def within_budget(
    lengths: Sequence[int], budget: int, work: Callable[[list[int]], T]
) -> Iterator[tuple[list[int], T]]:
    """Do work in batches of similar length, the longest first: their indices, and the result.

    Args:
        lengths: tokens of each piece of work.
        budget: tokens that a batch may hold, padding included; one piece alone may be more. If
            memory runs out it is halved, for good, and the batch tried again.

    Raises:
        torch.OutOfMemoryError: if one piece alone is too large.
    """
    pending = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while pending:
        longest = max(1, lengths[pending[0]])
        batch = pending[: max(1, budget // longest)]
        alone = len(batch) == 1
        result = work(batch) if alone else unless_exhausted(partial(work, batch))
        if result is None:
            budget = longest * len(batch) // 2
            continue
        pending = pending[len(batch) :]
        yield batch, result
