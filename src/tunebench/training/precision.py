"""Mixed precision: weights that train are float32, and what they run in is the model's own dtype.

In bfloat16 two neighbours lie 0.4% to 0.8% apart, so that most steps of a usual learning rate round
to nothing (Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tunebench.config.options import Options

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, TrainingArguments


def chosen(dtype: str, given: Options, device: str) -> Options:
    """TrainingArguments by which a model of `dtype` runs in it; none for float32.

    `bf16` and `fp16` that are given hold. On a CPU accelerate has neither autocast nor a loss
    scaler for float16, whose gradients would underflow: bfloat16 takes its place.

    >>> chosen("float16", {}, "cuda")
    {'bf16': False, 'fp16': True}
    >>> chosen("float16", {}, "cpu")
    {'bf16': True, 'fp16': False}
    """
    if dtype == "float32" or given.get("bf16"):
        return {}
    half = device == "cuda" and (dtype == "float16" or bool(given.get("fp16")))
    return {"bf16": not half, "fp16": half}


def hold_in_float32(model: PreTrainedModel) -> None:
    """Make the weights that train float32, whatever part of which adapter they are.

    PEFT does so for most of its own weights, but not for copies of the model's: `modules_to_save`
    and LayerNorm tuning.
    """
    import torch

    for weight in model.parameters():
        if weight.requires_grad and weight.dtype in (torch.bfloat16, torch.float16):
            weight.data = weight.data.float()


def autocast(arguments: TrainingArguments) -> AbstractContextManager[object]:
    """What accelerate runs the model in, for what is tried before it has wrapped the model."""
    import torch

    kind, device = arguments.mixed_precision, arguments.device.type
    if kind == "bf16" or (kind == "fp16" and device != "cpu"):
        return torch.autocast(device, torch.bfloat16 if kind == "bf16" else torch.float16)
    return nullcontext()


def rounded(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], dtype: str
) -> dict[str, torch.Tensor]:
    """A whole model's weights as `from_pretrained` gives them in `dtype`, for `save_pretrained`.

    Those that share memory go on sharing it.
    """
    import torch

    wide = set(model._keep_in_fp32_modules_strict or ())
    if dtype == "float16":
        wide |= set(model._keep_in_fp32_modules or ())
    made: dict[int, torch.Tensor] = {}
    found = {}
    for name, weight in weights.items():
        if weight.dtype == torch.float32 and not wide.intersection(name.split(".")):
            narrow = made.setdefault(weight.data_ptr(), weight.to(getattr(torch, dtype)))
            found[name] = narrow
        else:
            found[name] = weight
    return found
