"""Memory of the GPU, or of this process without one: its peak, and running out of it."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tunebench import results

T = TypeVar("T")

# of this process, on Linux
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def _cuda() -> Any:
    """`torch.cuda` where this process uses a GPU, else None.

    Importing torch takes seconds; a process that has not imported it has nothing on a GPU.
    """
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def reset_peak() -> bool:
    """Start a new peak of the GPU, or of this process; False if the system has no way to.

    Linux resets a process's high-water mark (`VmHWM`) when 5 is written to its `clear_refs`; see
    proc_pid_clear_refs(5).
    """
    if cuda := _cuda():
        cuda.reset_peak_memory_stats()
        return True
    try:
        CLEAR_REFS.write_text("5")
    except OSError:  # another system, or a container that does not allow it
        return False
    return True


def peak_bytes() -> int:
    """Peak memory in bytes since `reset_peak`: allocated on the GPU, or resident without one.

    Where the peak could not be reset, it is that since the process's start.
    """
    if cuda := _cuda():
        return int(cuda.max_memory_allocated())
    if (peak := _status_bytes("VmHWM")) is not None:
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def reserved_bytes() -> int | None:
    """Peak memory in bytes that torch reserved on the GPU, its cache included; None without one."""
    cuda = _cuda()
    return int(cuda.max_memory_reserved()) if cuda else None


@dataclass(frozen=True)
class Phase:
    """A phase of work, from `start` on, whose peak memory is measured.

    `baseline` is what was in use at its start, in bytes; None if the peak could not be reset.
    """

    baseline: int | None

    @classmethod
    def start(cls) -> Phase:
        """Start one, with all memory returned that is not in use any more."""
        release()
        _trim()
        return cls(_used_bytes() if reset_peak() else None)

    def renewed(self) -> Phase:
        """A new peak above the same baseline, as of the requests to a model that is loaded now."""
        return replace(Phase.start(), baseline=self.baseline)

    def metrics(self) -> results.Metrics:
        """Its peak so far, and how far that is above its baseline.

        `peak_memory_of_process` says that the peak is the process's since its start, for want of a
        way to reset it; nothing is known above the baseline then.
        """
        peak, reserved = peak_bytes(), reserved_bytes()
        above: results.Metrics = (
            {"peak_memory_of_process": True}
            if self.baseline is None
            else {"peak_memory_above_baseline_bytes": max(0, peak - self.baseline)}
        )
        return {
            "peak_memory_bytes": peak,
            **above,
            **({} if reserved is None else {"reserved_memory_bytes": reserved}),
        }


def _used_bytes() -> int:
    """Memory in use now, of the kind that `peak_bytes` returns; 0 where the system does not say."""
    if cuda := _cuda():
        return int(cuda.memory_allocated())
    return _status_bytes("VmRSS") or 0


def _status_bytes(name: str) -> int | None:
    """A number of this process's status in bytes (Linux); None if there is none."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    return sizes[0] if sizes else None


def is_exhausted(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error, of the GPU or of this process."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
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
    gc.collect()
    if cuda := _cuda():
        cuda.empty_cache()


def _trim() -> None:
    """Return malloc's free memory to the system, else it would hide what is allocated next."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc only
        trim(0)


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
