"""How an adapter can be served: merged into its base, or beside it by vLLM.

What vLLM takes as an adapter is what its documentation and its own check of `adapter_config.json`
say (docs.vllm.ai/en/latest: features/lora, api/vllm/lora/peft_helper, api/vllm/config/lora):
LoRA's two matrices on linear layers of a model that it supports, of one rank up to 512 (the server
is started with `--max-lora-rank`), scaled by `lora_alpha` and rsLoRA; no DoRA, no bias, nothing in
`modules_to_save`. It reads no other key of the configuration, so an adapter that needs one would be
served as something else than what was trained; such an adapter is refused here.

The model may still stand in the way: input and output embeddings that are one matrix can not be
merged apart, and vLLM supports no adapter on some architectures.
"""

from __future__ import annotations

from tunebench.config import library
from tunebench.config.options import Options

VLLM_MAX_RANK = 512
DEFAULT_RANK = 8  # of PEFT's LoraConfig
# keys of a LoRA configuration that leave two matrices to be added to the base's own weights
PLAIN = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "runtime_config", "velora_config", "eva_config",
}  # fmt: skip
# beginnings of the ways to draw first weights that change those of the base (as PiSSA does)
INITS_THAT_CHANGE_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
# values that ask for nothing
NOTHING: tuple[object, ...] = (None, False, "none", [], {})


def merge_fault(adapter: Options) -> str:
    """What keeps an adapter from being merged into the base's weights; empty if nothing does.

    Args:
        adapter: keys of a PEFT configuration.
    """
    peft_type = adapter["peft_type"]
    if not library.merges(peft_type):
        return f"PEFT does not merge {peft_type}"
    # measured with PEFT 0.21: the first raises, the second gives another model
    for key in ("alora_invocation_tokens", "layer_replication"):
        if adapter.get(key):
            return f"PEFT does not merge {key}"
    if peft_type == "BEFT" or adapter.get("lora_bias"):
        return "PEFT merges a bias only into layers that have one"
    return ""


def vllm_fault(adapter: Options) -> str:
    """What keeps vLLM from serving an adapter beside the base; empty if nothing does.

    Args:
        adapter: keys of a PEFT configuration.
    """
    if adapter["peft_type"] != "LORA":
        return f"vLLM's adapters are LORA, not {adapter['peft_type']}"
    more = [key for key, value in adapter.items() if key not in PLAIN and value not in NOTHING]
    if more:
        return f"vLLM takes no {', '.join(more)}"
    rank = adapter.get("r", DEFAULT_RANK)
    if rank > VLLM_MAX_RANK:
        return f"vLLM takes a rank of {VLLM_MAX_RANK} at most, not {rank}"
    init = adapter.get("init_lora_weights")
    if isinstance(init, str) and init.startswith(INITS_THAT_CHANGE_THE_BASE):
        return f"init_lora_weights: {init} changes the base's weights"
    return ""
