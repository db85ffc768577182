"""Run a model in the midst of training or before it, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# what an architecture raises that does not take what it is handed
REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, NotImplementedError)
# how far two ways to the same numbers may lie apart, as a fraction
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}


def tolerance(model: PreTrainedModel) -> float:
    """How far two ways to the same numbers may lie apart in the model's precision (a fraction)."""
    import torch

    device = model.device.type
    mixed = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else model.dtype
    return TOLERANCE[str(dtype).removeprefix("torch.")]


@contextmanager
def untrained(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout and gradients."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
