"""A model as one method loads it: bytes of its weights, and which of its modules are trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from tunebench.config.schema import Method, Model, PeftMethod
from tunebench.estimates.sizes import Size

Trains = Literal["nothing", "adapter", "all"]

DTYPE_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
# 4 bits and the scales of blocks of 64, themselves quantized (QLoRA, arXiv 2305.14314)
QUANTIZED_BYTES = {"nf4": 0.516, "fp4": 0.516, "int8": 1.0}
DEFAULT_RANK = 8  # of PEFT's LoraConfig
DEFAULT_TARGETS = ("q_proj", "v_proj")  # that PEFT knows for Llama and most others


@dataclass(frozen=True)
class LoadedModel:
    """One model with one method.

    `adapted` are the inputs and outputs of the linear modules of a layer that have an adapter.
    """

    size: Size
    dtype: str
    quantization: str = ""
    trains: Trains = "nothing"
    adapted: tuple[tuple[int, int], ...] = ()
    rank: int = 0
    dropout: bool = False
    virtual_tokens: int = 0

    @classmethod
    def of(cls, size: Size, model: Model, method: Method) -> LoadedModel:
        """The model of a run; `dtype: auto` counts as float32, the larger one."""
        dtype = "float32" if model.dtype == "auto" else model.dtype
        quantization = _quantization(getattr(method, "quantization", None))
        if method.kind == "prompting":
            return cls(size, dtype)
        if not isinstance(method, PeftMethod):
            return cls(size, dtype, trains="all")
        adapter = method.adapter
        virtual = int(adapter.get("num_virtual_tokens") or 0)
        return cls(
            size=size,
            dtype=dtype,
            quantization=quantization,
            trains="adapter",
            adapted=() if virtual else _adapted(size, adapter.get("target_modules")),
            rank=int(adapter.get("r") or DEFAULT_RANK),
            dropout=bool(adapter.get("lora_dropout")),
            virtual_tokens=virtual,
        )

    @property
    def width(self) -> float:
        """Bytes of a number that is computed with."""
        return DTYPE_BYTES[self.dtype]

    @property
    def weight_bytes(self) -> float:
        """Bytes of the loaded weights; embeddings and head are never quantized.

        All of them are trained in float32, beside which autocast holds a copy in `dtype`.
        """
        size = self.size
        if self.trains == "all":
            copy = 0.0 if self.dtype == "float32" else self.width
            return (4.0 + copy) * size.parameters
        if not self.quantization:
            return self.width * size.parameters
        linear = QUANTIZED_BYTES[self.quantization] * size.body
        return linear + self.width * (size.parameters - size.body)

    @property
    def trainable(self) -> int:
        """How many weights are trained."""
        if self.trains == "all":
            return self.size.parameters
        if self.trains == "nothing":
            return 0
        low_rank = self.rank * sum(inputs + outputs for inputs, outputs in self.adapted)
        return low_rank * self.size.layers + self.virtual_tokens * self.size.hidden

    @property
    def modules(self) -> int:
        """How many modules of the model have an adapter."""
        return len(self.adapted) * self.size.layers

    def untouched(self) -> LoadedModel:
        """The same base without an adapter."""
        return replace(self, trains="nothing", adapted=(), virtual_tokens=0)


def _quantization(value: Any) -> str:
    if isinstance(value, dict):
        return "nf4" if value.get("load_in_4bit") else "int8"
    return value or ""


def _adapted(size: Size, targets: Any) -> tuple[tuple[int, int], ...]:
    widths = size.linear_widths
    if targets == "all-linear":
        return tuple(widths.values())
    named = [targets] if isinstance(targets, str) else list(targets or DEFAULT_TARGETS)
    # of another architecture's names nothing is known but their number
    return tuple(widths.get(name.split(".")[-1], (size.hidden, size.hidden)) for name in named)
