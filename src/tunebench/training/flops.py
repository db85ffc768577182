"""MFU (model FLOPs utilization): model FLOPs over the device's measured peak.

Model FLOPs are those that the model needs, not those that were spent (Chowdhery et al., PaLM, arXiv
2204.02311, appendix B): recomputation by gradient checkpointing and padding do not count.
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
    """How many weights are trainable, and how many there are; packed 4-bit ones count singly."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trainable, total = model.get_nb_trainable_parameters()
        return int(trainable), int(total)
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)


def of_training(
    model: PreTrainedModel,
    parameter_counts: tuple[int, int],
    *,
    tokens: float,
    labelled: float,
    length: float,
) -> float:
    """Model FLOPs of training.

    Per token, each weight takes 2 FLOPs in the forward pass and 2 in the backward pass for the
    gradient of its input; a trainable one takes 2 more for its own gradient. Embeddings are
    lookups, and take none.

    Args:
        parameter_counts: what `parameters` returns.
        tokens: seen in training, without padding.
        labelled: how many of them count in the loss, and go through the language-model head.
        length: mean tokens of a row, for attention.
    """
    trainable, total = parameter_counts
    config = model.config.get_text_config()
    head = config.vocab_size * config.hidden_size
    embedding = head if config.tie_word_embeddings else 2 * head
    body = max(0, total - embedding)
    attention = 12 * config.num_hidden_layers * config.hidden_size * length
    flops_per_token = 4 * body + 2 * min(trainable, body) + attention
    return float(tokens * flops_per_token + labelled * 4 * head)


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """Peak FLOPs per second of this device, measured with products of large matrices."""
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
