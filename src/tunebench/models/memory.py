"""Memory of the GPU, or of this process without one: its peak, and running out of it."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def reset_peak() -> None:
    """Reset the GPU's peak memory; a process's own peak cannot be reset."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Peak memory in bytes: allocated on the GPU, or resident without one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def reserved_bytes() -> int | None:
    """Peak memory in bytes that torch reserved on the GPU, its cache included; None without one."""
    import torch

    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else None


def is_exhausted(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error, of the GPU or of this process."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's message on a CPU, for which it has no class
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def unless_exhausted(work: Callable[[], T]) -> T | None:
    """What `work` returns, which is never None; None if memory ran out, which is then freed."""
    try:
        return work()
    except Exception as error:
        if not is_exhausted(error):
            raise
    # after the except clause, whose traceback keeps the tensors of every frame alive
    release()
    return None


def release() -> None:
    """Collect garbage, and empty torch's GPU cache."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def within_budget(
    lengths: Sequence[int], budget: int, work: Callable[[list[int]], T]
) -> Iterator[tuple[list[int], T]]:
    """Run `work` on batches of similar length, longest first; yield their indices and results.

    Args:
        lengths: tokens of each item.
        budget: tokens per batch, padding included; a single item may exceed it. If memory runs out,
            the budget is halved for good and the batch is tried again.

    Raises:
        torch.OutOfMemoryError: if a single item is too large.
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
