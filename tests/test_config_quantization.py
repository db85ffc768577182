"""`quantization:` is refused where transformers would quantize otherwise, or die of it."""

from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of
from pydantic import TypeAdapter

from tunebench.config import library
from tunebench.config.quantization import Quantization

QUANTIZATIONS: list[tuple[Any, str]] = [
    ("nf5", "'nf5' is unknown; did you mean 'nf4'?"),
    (8, "8 is neither nf4, fp4, int8 nor a mapping; write {load_in_4bit: true}"),
    (["nf4"], "['nf4'] is neither nf4, fp4, int8 nor a mapping; write {load_in_4bit: true}"),
    ({"load_in_8bits": True}, "load_in_8bits: unknown key; did you mean 'load_in_8bit'?"),
    ({"load_in_4bit": "yes"}, "load_in_4bit: 'yes' is not of type bool"),
    ({}, "no width is asked for; set load_in_4bit: true or load_in_8bit: true"),
    (
        {"load_in_4bit": False, "bnb_4bit_quant_type": "nf4"},
        "no width is asked for; set load_in_4bit: true or load_in_8bit: true",
    ),
    (
        {"load_in_4bit": True, "load_in_8bit": True},
        "both load_in_4bit and load_in_8bit are asked for; set load_in_4bit: true or"
        " load_in_8bit: true",
    ),
    (
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf5"},
        "bnb_4bit_quant_type: 'nf5' is unknown; did you mean 'nf4'?",
    ),
    (
        {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat"},
        "bnb_4bit_compute_dtype: 'bfloat' is unknown; did you mean 'bfloat16'?",
    ),
    (
        {"load_in_4bit": True, "bnb_4bit_quant_storage": "int4"},
        "bnb_4bit_quant_storage: 'int4' is unknown; did you mean 'int8'?",
    ),
    (
        {"load_in_8bit": True, "bnb_4bit_use_double_quant": True},
        "bnb_4bit_use_double_quant: does nothing with load_in_8bit; it goes with load_in_4bit",
    ),
    (
        {"load_in_8bit": True, "llm_int8_skip_modules": "lm_head"},
        "llm_int8_skip_modules: 'lm_head' is not of type list",
    ),
    (None, ""),
    ("int8", ""),
    ({"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]}, ""),
    ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "load_in_8bit": False}, ""),
]


@pytest.mark.parametrize(("value", "expected"), QUANTIZATIONS)
def test_quantization(value: Any, expected: str, valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "methods.lora.quantization", value)
    told = faults_of(valid, tmp_path)
    if not expected:
        assert told == []
    else:
        inner = expected.split(":")[0] in library.quantization_fields() or ": unknown" in expected
        assert told == [f"methods.lora.quantization{'.' if inner else ': '}{expected}"]


def test_quantization_that_check_accepts_is_what_transformers_takes() -> None:
    from transformers import BitsAndBytesConfig

    given = {
        "load_in_8bit": True,
        "llm_int8_threshold": 5,  # as an int, which transformers refuses
        "llm_int8_has_fp16_weight": True,
        "llm_int8_enable_fp32_cpu_offload": True,
        "llm_int8_skip_modules": ["lm_head"],
    }
    four = {
        "load_in_4bit": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_quant_storage": "uint8",
    }
    assert {*given, *four} == set(library.quantization_fields())
    for options, method in ((given, "llm_int8"), (four, "nf4")):
        made = BitsAndBytesConfig(**TypeAdapter(Quantization).validate_python(options))
        assert made.quantization_method() == method
