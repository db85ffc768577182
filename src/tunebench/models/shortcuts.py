"""Faster code paths: tried on a few rows, and used if they give the same numbers.

Not every architecture supports a custom attention mask, restarting position ids, a copied KV cache,
or a separately called head, and names do not tell which do. So training, scoring and generation
compare a faster path with the plain one, and keep the plain one if they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tunebench.models import memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

# what an architecture raises if it does not support an argument
REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, NotImplementedError)
# how far the results of two code paths may differ, as a fraction
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}


def unless_refused(attempt: Callable[[], T]) -> T | None:
    """What `attempt` returns, which is never None; None if the architecture does not support it.

    Raises:
        torch.OutOfMemoryError: if memory ran out: though a RuntimeError, it is no refusal.
    """
    try:
        return attempt()
    except REFUSALS as error:
        if memory.is_exhausted(error):
            raise
        return None


def tolerance(model: PreTrainedModel) -> float:
    """How far two code paths may differ in the model's precision, as a fraction."""
    import torch

    device = model.device.type
    mixed = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else model.dtype
    return TOLERANCE[str(dtype).removeprefix("torch.")]


@contextmanager
def inference(model: PreTrainedModel) -> Iterator[None]:
    """Run a model without dropout and gradients in the block; its training mode is restored."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
