"""Arguments of `from_pretrained`: how attention is computed, and on what devices."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from tunebench.config import library
from tunebench.errors import suggest

# accelerate's strategies to spread a model
STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")
DEVICE = re.compile(r"cpu|(cuda|mps|xpu|npu)(:[0-9]{1,2})?")


def _attention(value: str) -> str:
    choices = library.attention_implementations()
    if "/" in value:
        raise ValueError(
            f"{value!r} is code from the Hub, which is never run here; {suggest(value, choices)}"
        )
    if value not in choices:
        raise ValueError(f"{value!r} is unknown; {suggest(value, choices)}")
    return value


def _device_map(value: str) -> str:
    if value not in STRATEGIES and not DEVICE.fullmatch(value):
        hint = suggest(value, [*STRATEGIES, "cpu", "cuda", "cuda:0"])
        raise ValueError(f"{value!r} is unknown; {hint}")
    return value


Attention = Annotated[str, AfterValidator(_attention)]
DeviceMap = Annotated[str, AfterValidator(_device_map)]
