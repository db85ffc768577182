"""Mixed precision: trainable weights are float32, and computation is in the model's dtype.

Adjacent bfloat16 numbers are 0.4% to 0.8% apart, so most updates at usual learning rates would
round to zero (Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tunebench.config.options import Options

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, TrainingArguments


def mixed_precision(dtype: str, options: Options, device: str) -> Options:
    """TrainingArguments for computing in `dtype`; none for float32.

    `bf16` and `fp16` in `options` take precedence. On a CPU accelerate has neither autocast nor a
    loss scaler for float16, whose gradients would underflow, so bfloat16 is used instead.

    >>> chosen("float16", {}, "cuda")
    {'bf16': False, 'fp16': True}
    >>> chosen("float16", {}, "cpu")
    {'bf16': True, 'fp16': False}
    """
    if dtype == "float32" or options.get("bf16"):
        return {}
    half = device == "cuda" and (dtype == "float16" or bool(options.get("fp16")))
    return {"bf16": not half, "fp16": half}


def cast_trainable_to_float32(model: PreTrainedModel) -> None:
    """Cast trainable weights to float32.

    PEFT does so for most adapter weights, but not for copies of the model's (`modules_to_save`) or
    LayerNorm tuning.
    """
    import torch

    for weight in model.parameters():
        if weight.requires_grad and weight.dtype in (torch.bfloat16, torch.float16):
            weight.data = weight.data.float()


def autocast(arguments: TrainingArguments) -> AbstractContextManager[object]:
    """The autocast that accelerate will use, for trial batches before it has wrapped the model."""
    import torch

    kind, device = arguments.mixed_precision, arguments.device.type
    if kind == "bf16" or (kind == "fp16" and device != "cpu"):
        return torch.autocast(device, torch.bfloat16 if kind == "bf16" else torch.float16)
    return nullcontext()


def rounded(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], dtype: str
) -> dict[str, torch.Tensor]:
    """A full model's weights in `dtype`, as `from_pretrained` would load them; ties are kept."""
    import torch

    kept_in_float32 = set(model._keep_in_fp32_modules_strict or ())
    if dtype == "float16":
        kept_in_float32 |= set(model._keep_in_fp32_modules or ())
    narrowed: dict[int, torch.Tensor] = {}
    state_dict = {}
    for name, weight in weights.items():
        if weight.dtype == torch.float32 and not kept_in_float32.intersection(name.split(".")):
            narrow = narrowed.setdefault(weight.data_ptr(), weight.to(getattr(torch, dtype)))
            state_dict[name] = narrow
        else:
            state_dict[name] = weight
    return state_dict
