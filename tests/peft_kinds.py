"""What each PEFT method needs to be told on the tiny model."""

from typing import Any

TARGETS = {"target_modules": ["q_proj", "v_proj"]}
# the keys without which PEFT makes no configuration for the tiny model; all others take TARGETS
KEYS: dict[str, dict[str, Any]] = {
    "ADAPTION_PROMPT": {"adapter_len": 5, "adapter_layers": 1},
    "C3A": {"block_size": 16, **TARGETS},
    "CARTRIDGE": {"num_virtual_tokens": 5},
    "CPT": {
        "cpt_token_ids": [1, 2, 9, 31],
        "cpt_mask": [1, 1, 1, 1],
        "cpt_tokens_type_mask": [1, 2, 3, 4],
    },
    "FOURIERFT": {"n_frequency": 50, **TARGETS},
    "LN_TUNING": {},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": 5, "num_tasks": 1},
    "PREFIX_TUNING": {"num_virtual_tokens": 5},
    "PROMPT_TUNING": {"num_virtual_tokens": 5},
    "P_TUNING": {"num_virtual_tokens": 5},
    "SHADOW": {},
    "TRAINABLE_TOKENS": {"token_indices": [1, 9]},
    "VBLORA": {"vector_length": 16, "num_vectors": 16, **TARGETS},
    "WAVEFT": {"n_frequency": 64, **TARGETS},
    "XLORA": {"adapters": {}},
}
