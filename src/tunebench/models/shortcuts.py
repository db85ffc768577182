"""Faster ways to the same numbers: tried on a few rows, and used where they give the same.

Not every architecture takes a mask of one's own, positions that begin again, a cache that is
copied, or a head that is called apart. Which do is not known by name; so training, scoring and
generation try a faster way beside the plain one, and keep to the plain one where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tunebench.models import memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

# what an architecture raises that does not take what it is handed
REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, NotImplementedError)
# how far two ways to the same numbers may lie apart, as a fraction
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}


def unless_refused(attempt: Callable[[], T]) -> T | None:
    """What `attempt` returns, which is never None; None where the architecture refuses it.

    Raises:
        torch.OutOfMemoryError: memory that ran out is no refusal, though it is a RuntimeError.
    """
    try:
        return attempt()
    except REFUSALS as error:
        if memory.is_exhausted(error):
            raise
        return None


def tolerance(model: PreTrainedModel) -> float:
    """How far two ways to the same numbers may lie apart in the model's precision (a fraction)."""
    import torch

    device = model.device.type
    mixed = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else model.dtype
    return TOLERANCE[str(dtype).removeprefix("torch.")]


@contextmanager
def inference(model: PreTrainedModel) -> Iterator[None]:
    """Run a model that may be in training without dropout and gradients, and leave it as it was."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
