"""Bytes that a method needs in any case: weights, gradients and optimizer."""

from __future__ import annotations

DTYPE_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
# with the scales of blocks of 64, themselves quantized (QLoRA, arXiv 2305.14314): 4.127 bits
QUANTIZED_BYTES = {"nf4": 0.516, "fp4": 0.516, "int8": 1.0}
QUANTIZED_SHARE = 0.9  # embeddings, head and norms are not quantized
# the float32 weight, its gradient, and Adam's two moments
TRAINED_BYTES = 16.0
ADAPTER_SHARE = 0.01  # more than any rank up to 32 on all layers of a model of 1B or more


def least_bytes(
    parameters: int, dtype: str, *, quantization: str = "", trains: str = "nothing"
) -> int:
    """The least memory of a method in bytes; activations, logits and caches come on top.

    Args:
        parameters: of the model.
        dtype: that it computes in.
        quantization: `nf4`, `fp4`, `int8`, or empty.
        trains: `nothing`, `adapter` or `all`.
    """
    width = DTYPE_BYTES.get(dtype, 4.0)
    if trains == "all":
        copy = 0.0 if dtype == "float32" else width  # autocast's, beside the float32 weights
        return int(parameters * (TRAINED_BYTES + copy))
    base = width
    if quantization:
        base = QUANTIZED_BYTES[quantization] * QUANTIZED_SHARE + width * (1 - QUANTIZED_SHARE)
    adapter = ADAPTER_SHARE * TRAINED_BYTES if trains == "adapter" else 0.0
    return int(parameters * (base + adapter))
