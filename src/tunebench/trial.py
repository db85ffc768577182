"""Run a model once before training, to see what it takes, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# what an architecture raises that does not take what it is handed
REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, NotImplementedError)
# how far two ways to the same numbers may lie apart, as a fraction
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}


def tolerance(model: PreTrainedModel) -> float:
    """How far two ways to the same numbers may lie apart in the model's precision (a fraction)."""
    return TOLERANCE[str(model.dtype).removeprefix("torch.")]


@contextmanager
def as_trained(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout, but with gradients.

    On a CPU bitsandbytes rearranges 4-bit weights, for good and for inference only, as soon as it
    sees an input that needs no gradient outside of training.
    """
    import torch

    def need_gradient(_module: Any, _given: Any, embedded: Tensor) -> Tensor:
        return embedded.requires_grad_()

    training = model.training
    handle = model.get_input_embeddings().register_forward_hook(need_gradient)
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        handle.remove()
        model.train(training)
