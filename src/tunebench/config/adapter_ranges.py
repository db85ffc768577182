"""Ranges of the values of PEFT configurations, and values that exclude each other.

PEFT checks them when it makes the adapter, which is after the model is loaded, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunebench.config import library
from tunebench.config.ranges import (
    BELOW_ONE,
    POSITIVE,
    Range,
    at_least,
    between,
    one_of,
    out_of_range,
)

SIZE = between(1, 65536)
# of these a negative one is refused late by torch, and 0 trains nothing
SIZES = (
    "r", "init_r", "target_r", "num_virtual_tokens", "adapter_len", "adapter_layers", "block_size",
    "n_frequency", "num_subspaces", "subspace_rank", "encoder_hidden_size", "encoder_num_layers",
    "token_dim", "num_layers", "num_attention_heads", "num_transformer_submodules", "gralora_k",
    "deltaT", "topk", "vector_length", "num_vectors", "stride_A", "depth", "qalora_group_size",
    "effective_rank", "u", "num_ranks", "num_cayley_neumann_terms",
)  # fmt: skip
ALPHAS = ("lora_alpha", "alpha", "psoft_alpha", "randlora_alpha", "shadow_alpha", "delora_lambda")
SEED = between(0, 2**32 - 1)
RANGES: dict[str, Range] = {
    **dict.fromkeys(SIZES, SIZE),
    **dict.fromkeys(ALPHAS, POSITIVE),
    **dict.fromkeys(("beta1", "beta2", "sparsity"), BELOW_ONE),
    **dict.fromkeys(("sparse_rate", "weight_tying"), between(0, 1)),
    # above 10^8 steps AdaLoRA finds none left to share out ranks in
    **dict.fromkeys(("tinit", "tfinal"), between(0, 1e8)),
    **dict.fromkeys(("orth_reg_weight", "num_frozen_tokens", "hybrid_r", "mini_r"), at_least(0)),
    **dict.fromkeys(("total_step", "theta_d_length"), between(1, 2**31)),
    "init_theta_d_bound": POSITIVE,
    "num_B": between(2, 65536),
    "group_size": ("an even number of 2 or more", lambda value: value >= 2 and value % 2 == 0),
    "decomposition_method": one_of("qr", "relu"),
    "layers_to_transform": (
        "numbers of layers, from 0",
        lambda value: min(value if isinstance(value, list) else [value]) >= 0,
    ),
    "cpt_token_ids": ("token ids, one at least", lambda value: min(value) >= 0),
    "cayley_neumann_eps": ("above 0 and below 1", lambda value: 0 < value < 1),
}
PATTERNS = {"rank_pattern": SIZE, "alpha_pattern": POSITIVE}
# a size by either of two fields, where 0 leaves it to the other one, and their defaults
EITHER_SIZE = {
    "OFT": {"r": 0, "oft_block_size": 32},
    "BOFT": {"boft_block_num": 0, "boft_block_size": 4},
}
# fields that PEFT declares with a default, and cannot do without
REQUIRED = ("num_virtual_tokens", "adapter_len", "adapter_layers")


def faults(value: Mapping[str, Any], peft_type: str) -> Iterator[str]:
    """A line for each value of the right type that is out of range, or does not go with another."""
    out = list(_out_of_range(value, _ranges(peft_type)))
    yield from out
    yield from _missing(value, peft_type)
    if not out:
        yield from _exclusive(value, peft_type)


def _out_of_range(value: Mapping[str, Any], ranges: Mapping[str, Range]) -> Iterator[str]:
    for key, option in value.items():
        yield from out_of_range(key, option, ranges)
        for name, item in option.items() if key in PATTERNS and isinstance(option, dict) else ():
            place = f"{key}.{name}"
            yield from out_of_range(place, item, {place: PATTERNS[key]})


def _ranges(peft_type: str) -> dict[str, Range]:
    fields = library.peft_fields(peft_type)
    by_name = {
        name: BELOW_ONE if "dropout" in name else SEED
        for name in fields
        if "dropout" in name or name.endswith(("seed", "prng_key"))
    }
    sizes = dict.fromkeys(EITHER_SIZE.get(peft_type, ()), between(0, 65536))
    return RANGES | by_name | sizes


def _missing(value: Mapping[str, Any], peft_type: str) -> Iterator[str]:
    fields = library.peft_fields(peft_type)
    for key in REQUIRED:
        # CPT counts its own token ids
        if key in fields and "cpt_token_ids" not in fields and value.get(key) is None:
            yield f"{key}: is missing; {peft_type} needs a number"
    if "total_step" in value and value["total_step"] is None:
        yield "total_step: is empty; leave it out for all of a run's steps"
    if peft_type == "PROMPT_TUNING" and value.get("prompt_tuning_init") == "TEXT":
        for key in ("prompt_tuning_init_text", "tokenizer_name_or_path"):
            if not value.get(key):
                yield f"{key}: is missing, which prompt_tuning_init: TEXT needs"


def _exclusive(value: Mapping[str, Any], peft_type: str) -> Iterator[str]:
    sizes = {key: value.get(key, size) for key, size in EITHER_SIZE.get(peft_type, {}).items()}
    if sizes and sum(size != 0 for size in sizes.values()) != 1:
        first, second = sizes
        yield f"{first}: {peft_type} takes either {first} or {second}; set one, and the other to 0"
    targets_pattern = isinstance(value.get("target_modules"), str)
    if value.get("layers_to_transform") is not None and targets_pattern:
        yield "layers_to_transform: goes with a list of target_modules only"
    if value.get("layers_pattern") and value.get("layers_to_transform") is None:
        yield "layers_pattern: goes with layers_to_transform only"
    if value.get("layers_pattern") and targets_pattern:
        yield "layers_pattern: goes with a list of target_modules only"
    if value.get("tokenizer_kwargs") and value.get("prompt_tuning_init") != "TEXT":
        yield "tokenizer_kwargs: goes with prompt_tuning_init: TEXT only"
    if peft_type == "ADALORA" and value.get("use_dora"):
        yield "use_dora: ADALORA does not support it; use LORA"
    if peft_type == "SUPERTUNING" and value.get("lora_alpha") and value.get("r") is None:
        yield "lora_alpha: goes with r only"
    if peft_type == "GRALORA" and value.get("r", 32) % value.get("gralora_k", 2):
        yield f"r: {value.get('r', 32)} should be divisible by gralora_k"
    tokens = len(value.get("cpt_token_ids") or [0])
    for key in ("cpt_mask", "cpt_tokens_type_mask"):
        if value.get(key) is not None and len(value[key]) != tokens:
            yield f"{key}: has {len(value[key])} numbers for {tokens} of cpt_token_ids"
    frozen, virtual = value.get("num_frozen_tokens", 1), value.get("num_virtual_tokens")
    if peft_type == "CARTRIDGE" and virtual is not None and frozen > virtual:
        yield f"num_frozen_tokens: {frozen} is more than num_virtual_tokens, {virtual}"
