"""A clock that synchronizes the device, warm-up, and timing without garbage collection."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

WINDOW = 3  # requests
MAX_CHANGE = 0.05
SIGNIFICANCE = 0.05
MIN_CHANGES = 5  # of fewer, no signed-rank test is that significant
MAX_EXACT = 50  # beyond, the normal distribution is near enough, and 1000 would take seconds
# a device that is not steady by then is shared or throttled: `warmup_steady` is false
MAX_WARMUP_REQUESTS = 30
MAX_WARMUP_S = 20.0  # caches and clocks have settled by then, however few requests that were


def now() -> float:
    """The clock in seconds, after synchronizing the device."""
    torch = sys.modules.get("torch")  # without it, nothing runs on a device
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds that `work` took, and its result."""
    started = now()
    result = work()
    return now() - started, result


def is_steady(earlier: Sequence[Sequence[float]], later: Sequence[Sequence[float]]) -> bool:
    """Whether requests are shown to take as long later as earlier, to within 5%.

    Noise alone does not show it: two one-sided signed-rank tests (Schuirmann 1987; Wilcoxon 1945)
    have to rule out, at 5% each, that the typical request became more than 5% faster or slower. It
    takes five requests. `benchmarks/steadiness.py` simulates how often it is right.

    Args:
        earlier: seconds of windows of the same requests, in the same order in each.
        later: as many windows.
    """
    from scipy.stats import wilcoxon

    changes = [
        log(after / before)
        for windows in zip(earlier, later, strict=True)
        for before, after in zip(*windows, strict=False)  # a server may fail a request
    ]
    if len(changes) < MIN_CHANGES:
        return False
    limit = log(1 + MAX_CHANGE)
    method = "exact" if len(changes) <= MAX_EXACT else "approx"
    faster = wilcoxon([change + limit for change in changes], alternative="greater", method=method)
    slower = wilcoxon([change - limit for change in changes], alternative="less", method=method)
    return bool(max(faster.pvalue, slower.pvalue) <= SIGNIFICANCE)


def warm_up(window: Callable[[], Sequence[float]], minimum: int = 0) -> tuple[int, bool, float]:
    """Send windows of requests until the last ones are as fast as as many before (`is_steady`).

    Args:
        window: sends the same few requests each time, and returns the seconds of each.
        minimum: how many requests are sent in any case.

    Returns:
        how many requests were sent, whether they became steady, and the last window's median (s).
    """
    windows: list[Sequence[float]] = []
    while True:
        windows.append(window())
        sent, steady = sum(map(len, windows)), _ended_steady(windows)
        long = sent >= MAX_WARMUP_REQUESTS or sum(map(sum, windows)) >= MAX_WARMUP_S
        if sent >= minimum and (steady or long):
            return sent, steady, median(windows[-1])


def _ended_steady(windows: Sequence[Sequence[float]]) -> bool:
    """Whether the last one, two, … windows are as fast as as many before them."""
    return any(
        is_steady(windows[-2 * count : -count], windows[-count:])
        for count in range(1, len(windows) // 2 + 1)
    )


@contextmanager
def garbage_collection_off() -> Iterator[None]:
    """Turn off garbage collection in the block, except where `memory.release` asks for it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()  # objects that exist already are not traversed again
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


class TokenClock:
    """A context manager that records when each token's logits are computed.

    It hooks the output layer, which runs once per token: in `model.generate` and in this project's
    greedy loop, with an adapter and without.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        head = inner.get_output_embeddings()
        self._layer = inner if head is None else head
        self.moments: list[float] = []

    def __enter__(self) -> TokenClock:
        self.moments = []
        self._hook = self._layer.register_forward_hook(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _note(self, *_: object) -> None:
        self.moments.append(now())
