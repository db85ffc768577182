"""A clock that waits for the device, requests until they are steady, and no garbage collector."""

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
# a device that is not steady after so many has other work, or grows hot: the metrics say so
MOST_WARMUPS = 30


def now() -> float:
    """Seconds, when all that the device was given is done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds of some work, and what came of it."""
    started = now()
    found = work()
    return now() - started, found


def warm_up(window: Callable[[], Sequence[float]], least: int = 0) -> tuple[int, bool, float]:
    """Send windows of requests until one takes as long as the one before.

    It does where their medians lie within 5% of each other.

    Args:
        window: sends the same few requests, so that their lengths do not count; their seconds.
        least: so many requests are sent, however steady they are.

    Returns:
        how many requests were sent, whether they became steady, and the last window's median.
    """
    before, sent = inf, 0
    while True:
        seconds = window()
        sent, after = sent + len(seconds), median(seconds)
        steady = abs(after - before) <= STEADY * before if before < inf else False
        if sent >= least and (steady or sent >= MOST_WARMUPS):
            return sent, steady, after
        before = after


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage is collected meanwhile, but where `memory.release` asks for it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()  # what is there already need not be looked through again
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


class TokenClock:
    """Notes when each token's logits are there, while it is entered, however text is written.

    The layer that makes logits runs once for each token, in `model.generate` and in our own loop,
    with an adapter and without.
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
