"""`quantization:` — a recipe's name, or fields of `transformers.BitsAndBytesConfig`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator

from tunebench.config import library, types
from tunebench.errors import suggest

RECIPES = ("nf4", "fp4", "int8")
WIDTHS = ("load_in_4bit", "load_in_8bit")
# options that bitsandbytes reads for one width only; the other `llm_int8_*` are for both
ONLY_FOR = {
    "llm_int8_threshold": "load_in_8bit",
    "llm_int8_has_fp16_weight": "load_in_8bit",
    "bnb_4bit_compute_dtype": "load_in_4bit",
    "bnb_4bit_quant_type": "load_in_4bit",
    "bnb_4bit_use_double_quant": "load_in_4bit",
    "bnb_4bit_quant_storage": "load_in_4bit",
}


def _quantization(value: Any) -> str | dict[str, Any] | None:
    if value is None or (isinstance(value, str) and value in RECIPES):
        return value
    if isinstance(value, str):
        raise ValueError(f"{value!r} is unknown; {suggest(value, RECIPES)}")
    if not isinstance(value, dict):
        raise ValueError(
            f"{value!r} is neither {', '.join(RECIPES)} nor a mapping; write {{load_in_4bit: true}}"
        )
    fields = library.quantization_fields()
    types.refuse(types.faults_of_mapping(value, fields))
    types.refuse(_width_faults(value))
    return types.with_floats(value, fields)


def _width_faults(value: dict[str, Any]) -> list[str]:
    """Faults in the width: transformers defaults to 4 bits without one, and fails with both."""
    widths = [width for width in WIDTHS if value.get(width)]
    if len(widths) != 1:
        subject = "both load_in_4bit and load_in_8bit are" if widths else "no width is"
        return [f"{subject} asked for; set load_in_4bit: true or load_in_8bit: true"]
    return [
        f"{key}: does nothing with {widths[0]}; it goes with {width}"
        for key, width in ONLY_FOR.items()
        if key in value and width not in widths
    ]


# None: not quantized
Quantization = Annotated[str | dict[str, Any] | None, PlainValidator(_quantization)]
