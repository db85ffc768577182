"""`dtype: auto`: float32 or bfloat16, whichever this device computes faster, by measurement."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench import models
from tunebench.models import built_in

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

TOKENS = 512
ROUNDS = 5
# bfloat16 rounds to three digits: it must be worth that, and stay so when measured again
WORTH = 1.25


def resolved(
    source: dict[str, Any], folder: Path, *, earlier: dict[str, Any] | None
) -> dict[str, str]:
    """What `auto` becomes on this device, for a model's pin; empty if the dtype is stated.

    Args:
        source: of the model, as the stage `check` wrote it.
        folder: of its files.
        earlier: an earlier pin of that name; its choice stays on the same device, since all runs
            of the model depend on it.
    """
    if source.get("dtype") != "auto":
        return {}
    device = models.device_name()
    if earlier and earlier["source"] == source and earlier.get("device") == device:
        return {"dtype": earlier["dtype"], "device": device}
    seconds = measured(folder)
    faster = seconds["float32"] / seconds["bfloat16"]
    dtype = "bfloat16" if faster >= WORTH else "float32"
    logger.info("dtype: %s (bfloat16 is %.2f times as fast as float32 here)", dtype, faster)
    return {"dtype": dtype, "device": device}


def measured(folder: Path) -> dict[str, float]:
    """Median seconds of one layer's matrix products, forward and backward, by dtype.

    The products of the model's feed-forward layer for 512 tokens; both dtypes alternate, so that
    another process slows both.
    """
    import torch

    config = built_in.config(folder).get_text_config()
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    dtypes = (torch.float32, torch.bfloat16)
    passes = {dtype: partial(_pass, *_layer(width, inner, dtype)) for dtype in dtypes}
    for run in passes.values():
        run()  # the first allocates and chooses kernels
    seconds: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(ROUNDS):
        for dtype, run in passes.items():
            seconds[dtype].append(_timed(run))
    return {str(dtype).removeprefix("torch."): median(times) for dtype, times in seconds.items()}


def _layer(width: int, inner: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    import torch

    options: dict[str, Any] = {"dtype": dtype, "device": models.device()}
    inputs = torch.randn(TOKENS, width, requires_grad=True, **options)
    return inputs, torch.randn(width, inner, **options), torch.randn(inner, width, **options)


def _pass(inputs: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> None:
    import torch

    torch.autograd.grad((inputs @ up @ down).sum(), inputs)


def _timed(run: Callable[[], None]) -> float:
    import torch

    start = perf_counter()
    run()
    if models.device() == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - start
