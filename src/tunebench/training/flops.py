"""How much of a device's speed training takes: model FLOPs over its measured matrix rate.

Model FLOPs are those that the mathematics asks for, not those that were spent (Chowdhery et al.,
PaLM, arXiv 2204.02311, appendix B): what gradient checkpointing or padding adds does not count.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MEASURED_S = 0.1
SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices, large enough to fill the device


def parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Trainable and all weights; those of 4 bits, two of which share a byte, counted apart."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trainable, total = model.get_nb_trainable_parameters()
        return int(trainable), int(total)
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)


def of_training(
    model: PreTrainedModel,
    counted: tuple[int, int],
    *,
    tokens: float,
    labelled: float,
    length: float,
) -> float:
    """Model FLOPs of training.

    Each weight multiplies each token twice over forward and twice over backward for the gradient of
    what came in, and a trained one twice more for its own gradient. Embeddings are looked up.

    Args:
        counted: its `parameters`.
        tokens: seen, padding apart.
        labelled: those of them that count in the loss, and meet the language model's head.
        length: mean tokens of a row, which attention goes over.
    """
    trainable, total = counted
    config = model.config.get_text_config()
    head = config.vocab_size * config.hidden_size
    embedded = head if config.tie_word_embeddings else 2 * head
    body = max(0, total - embedded)
    attention = 12 * config.num_hidden_layers * config.hidden_size * length
    each = 4 * body + 2 * min(trainable, body) + attention
    return float(tokens * each + labelled * 4 * head)


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """The FLOPs a second that products of large matrices reach on this device, measured."""
    import torch

    side = SIDE.get(device.type, SIDE["cpu"])
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))

    def times(count: int) -> float:
        _synchronize(device)
        started = perf_counter()
        for _ in range(count):
            left @ right
        _synchronize(device)
        return perf_counter() - started

    times(1)
    count = max(1, int(MEASURED_S / times(1)))
    return count * 2 * side**3 / times(count)


def _synchronize(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
