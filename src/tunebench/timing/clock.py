"""A clock that waits for the device, requests until they are steady, and no garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

# a window holds the same few prompts as the one before it, so that their lengths do not count
WINDOW = 3
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


def warm_up(request: Callable[[int], float], least: int) -> tuple[int, bool]:
    """Send requests until they take as long as those before: how many, and whether they came to it.

    They have where the median of the last three seconds lies within 5% of that of the three before.

    Args:
        request: sends the prompt of a number below `WINDOW`; the seconds that it took.
        least: so many requests are sent, however steady they are.
    """
    seconds: list[float] = []
    for number in count():
        if number >= max(least, 2 * WINDOW):
            before, after = median(seconds[-2 * WINDOW : -WINDOW]), median(seconds[-WINDOW:])
            steady = abs(after - before) <= STEADY * before
            if steady or number >= max(least, MOST_WARMUPS):
                break
        seconds.append(request(number % WINDOW))
    return len(seconds), steady


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage is collected meanwhile, but where `tidy` asks for it."""
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


def tidy() -> None:
    """Free what is not used any more, on the device too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
