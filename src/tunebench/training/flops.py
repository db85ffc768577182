"""MFU and HFU (model and hardware FLOPs utilization): FLOPs over the device's measured peak.

Model FLOPs are those that the model needs, not those that were spent (Chowdhery et al., PaLM, arXiv
2204.02311, appendix B): recomputation by gradient checkpointing and padding do not count. Hardware
FLOPs count that recomputation too (Korthikanti et al., arXiv 2205.05198, section 6.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench.prompts.batching import IGNORED, Example

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MEASURED_S = 0.1
SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices, large enough to fill the device


@dataclass(frozen=True)
class Weights:
    """How many weights a model has, and how many of them a token is multiplied with.

    `trainable` and `total` count each weight once, packed 4-bit ones singly. `body` are the
    matrices without embeddings, which are lookups, and without the language-model `head`. Of the
    experts of a mixture, `body` counts as many as a token is routed to.
    """

    trainable: int
    total: int
    body: float
    trainable_body: float
    head: int
    trainable_head: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> Weights:
        """Those of a model that is not sharded yet."""
        from torch.nn import Embedding

        head_module = model.get_output_embeddings()
        in_head = {id(weight) for weight in head_module.parameters()} if head_module else set()
        lookups = {
            id(weight)
            for module in model.modules()
            if isinstance(module, Embedding)
            for weight in module.parameters()
        } - in_head  # a tied head multiplies with the embeddings
        body, head = [0.0, 0.0], [0, 0]  # frozen and trainable
        for name, weight in model.named_parameters():
            # `original_module` is what PEFT's modules_to_save replaces
            if weight.ndim < 2 or id(weight) in lookups or "original_module" in name:
                continue
            if id(weight) in in_head:
                head[weight.requires_grad] += _count(weight)
            else:
                body[weight.requires_grad] += _count(weight) * _share(model, name)
        trainable, total = _parameters(model)
        return cls(trainable, total, sum(body), body[True], sum(head), head[True])


def _parameters(model: PreTrainedModel) -> tuple[int, int]:
    """How many weights are trainable, and how many there are."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trainable, total = model.get_nb_trainable_parameters()
        return int(trainable), int(total)
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)


def _count(weight: torch.Tensor) -> int:
    """Numbers in a weight; bitsandbytes packs two of 4 bits into each byte."""
    packed = type(weight).__name__ == "Params4bit"
    return weight.numel() * (2 * weight.element_size() if packed else 1)


def _share(model: PreTrainedModel, name: str) -> float:
    """The fraction of a weight that a token is multiplied with: 1, except for routed experts."""
    if ".experts." not in name:  # a shared expert has another name
        return 1.0
    config = model.config.get_text_config()
    routed = getattr(config, "num_experts_per_tok", None)
    experts = next(
        (
            getattr(config, key)
            for key in ("num_local_experts", "num_experts", "n_routed_experts")
            if getattr(config, key, None)
        ),
        None,
    )
    return routed / experts if routed and experts else 1.0


@dataclass(frozen=True)
class Flops:
    """FLOPs of training on rows once: those that the model needs, and those of recomputation."""

    model: float
    recomputation: float


def of_epoch(weights: Weights, config: Any, rows: Sequence[Example]) -> Flops:
    """FLOPs of training on rows once, without padding; `recomputation` is one more forward pass.

    Per token, each weight takes 2 FLOPs in the forward pass and 2 in the backward pass for the
    gradient of its input; a trainable one takes 2 more for its own gradient. Only labelled tokens
    go through the language-model head. Attention is over the row: of a pack over each of its rows,
    of concatenated rows over the whole sequence. It counts in full, as if no causal mask and no
    sliding window halved it, as in PaLM.

    Args:
        config: the model's, of its text part.
    """
    lengths = [row.get("lengths") or [len(row["input_ids"])] for row in rows]
    tokens = sum(map(sum, lengths))
    labelled = sum(map(_labelled, rows, lengths))
    attention = 4 * _attention_width(config) * sum(size**2 for row in lengths for size in row)
    body = 4 * weights.body + 2 * weights.trainable_body
    head = 4 * weights.head + 2 * weights.trainable_head
    return Flops(
        model=float(tokens * body + labelled * head + 3 * attention),
        # the backward pass recomputes the layers, not the head
        recomputation=float(2 * tokens * weights.body + attention),
    )


def _labelled(row: Example, lengths: Sequence[int]) -> int:
    """Labels of a row or a pack; none predicts the first token of a row."""
    starts = list(accumulate(lengths, initial=0))[:-1]
    labels = row["labels"]
    return sum(label != IGNORED for label in labels) - sum(
        labels[start] != IGNORED for start in starts
    )


def _attention_width(config: Any) -> float:
    """The width of all heads in all layers, which is not always the hidden size (Qwen3).

    Queries and values may differ in width (DeepSeek): this is their mean.
    """
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 0.0
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    query_dim = getattr(config, "qk_head_dim", None) or head_dim
    value_dim = getattr(config, "v_head_dim", None) or head_dim
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    layers = sum(kind.endswith("_attention") and kind != "linear_attention" for kind in kinds)
    return float(layers * heads * (query_dim + value_dim) / 2)


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
