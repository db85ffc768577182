"""How an adapter can be served: merged into its base, or beside it by vLLM.

Which adapters vLLM supports is according to its documentation and its check of
`adapter_config.json` (docs.vllm.ai/en/latest: features/lora, api/vllm/lora/peft_helper,
api/vllm/config/lora): LoRA's two matrices on linear layers, of one rank up to 512 (the server is
started with `--max-lora-rank`), scaled by `lora_alpha` and rsLoRA; no DoRA, no bias, nothing in
`modules_to_save`. It ignores all other keys of the configuration. An adapter that needs one would
be served as another model than was trained, so it is refused here.

The model may still prevent it: tied input and output embeddings cannot be merged separately, and
vLLM supports no adapters on some architectures.
"""

from __future__ import annotations

from tunebench.config import library
from tunebench.config.options import Options

VLLM_MAX_RANK = 512
DEFAULT_RANK = 8  # of PEFT's LoraConfig
# keys of a LoRA configuration with which the adapter is still two matrices added to the weights
PLAIN = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "runtime_config", "velora_config", "eva_config",
}  # fmt: skip
# prefixes of `init_lora_weights` that change the base's weights
INITS_THAT_CHANGE_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
# values that turn an option off
NOTHING: tuple[object, ...] = (None, False, "none", [], {})


def merge_fault(adapter: Options) -> str:
    """Why an adapter cannot be merged into the base's weights; empty if it can.

    Args:
        adapter: keys of a PEFT configuration.
    """
    peft_type = adapter["peft_type"]
    if not library.merges(peft_type):
        return f"PEFT does not merge {peft_type}"
    # with PEFT 0.21, merging the first raises, and the second gives another model
    for key in ("alora_invocation_tokens", "layer_replication"):
        if adapter.get(key):
            return f"PEFT does not merge {key}"
    if peft_type == "BEFT" or adapter.get("lora_bias"):
        return "PEFT merges a bias only into layers that have one"
    return ""


def vllm_fault(adapter: Options) -> str:
    """Why vLLM cannot serve an adapter beside the base; empty if it can.

    Args:
        adapter: keys of a PEFT configuration.
    """
    if adapter["peft_type"] != "LORA":
        return f"vLLM's adapters are LORA, not {adapter['peft_type']}"
    unsupported = [
        key for key, value in adapter.items() if key not in PLAIN and value not in NOTHING
    ]
    if unsupported:
        return f"vLLM takes no {', '.join(unsupported)}"
    rank = adapter.get("r", DEFAULT_RANK)
    if rank > VLLM_MAX_RANK:
        return f"vLLM takes a rank of {VLLM_MAX_RANK} at most, not {rank}"
    init = adapter.get("init_lora_weights")
    if isinstance(init, str) and init.startswith(INITS_THAT_CHANGE_THE_BASE):
        return f"init_lora_weights: {init} changes the base's weights"
    return ""
