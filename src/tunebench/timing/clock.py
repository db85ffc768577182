"""A clock that synchronizes the device, warm-up, and timing without garbage collection."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

WINDOW = 3  # requests
STEADY = 0.05
# a device that is not steady by then is shared or throttled: `warmup_steady` is false
MAX_WARMUP_REQUESTS = 30


def now() -> float:
    """The clock in seconds, after synchronizing the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds that `work` took, and its result."""
    started = now()
    result = work()
    return now() - started, result


def warm_up(window: Callable[[], Sequence[float]], minimum: int = 0) -> tuple[int, bool, float]:
    """Send windows of requests until the medians of two in a row are within 5% of each other.

    Args:
        window: sends the same few requests each time, and returns the seconds of each.
        minimum: how many requests are sent in any case.

    Returns:
        how many requests were sent, whether they became steady, and the last window's median (s).
    """
    previous, sent = inf, 0
    while True:
        seconds = window()
        sent, current = sent + len(seconds), median(seconds)
        steady = abs(current - previous) <= STEADY * previous if previous < inf else False
        if sent >= minimum and (steady or sent >= MAX_WARMUP_REQUESTS):
            return sent, steady, current
        previous = current


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
