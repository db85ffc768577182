"""`adapter:` — a PEFT configuration, as `adapter_config.json` holds it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from tunebench.config import adapter_ranges, library, types
from tunebench.errors import suggest

# PEFT types that cannot be trained on one data set of prompts and completions
UNTRAINABLE_PEFT_TYPES = {
    "MULTITASK_PROMPT_TUNING": "each row must name its task, and a run has one; use PROMPT_TUNING",
    "POLY": "each row must name its task, and a run has one; use LORA",
    "XLORA": "it mixes adapters that are trained already; use LORA",
}
# initializations that PEFT computes from data, by a separate call before training
INITS_FROM_DATA = ("corda", "eva", "lora_ga")
# keys of PEFT configurations that fail before the first training step, or are ignored silently
FROM_DATA = "it is for initial weights that are computed from data, which is not done here"
REFUSED_FIELDS = {
    "runtime_config": "PEFT takes an object there, which YAML cannot hold",
    "arrow_config": "it routes among adapters that are trained already",
    "eva_config": FROM_DATA,
    "corda_config": FROM_DATA,
    "lora_ga_config": FROM_DATA,
    "auto_mapping": "PEFT writes it for classes that it does not know",
    "base_model_name_or_path": "the model is that of the run",
    "revision": "the model is that of the run",
    "megatron_config": "it is for layers of Megatron, which no model has here",
}
TOKENIZER_REFUSED = {
    "trust_remote_code": "no code of a repository is run; remove it",
    "token": "Git would keep the secret; set the environment variable HF_TOKEN",
    "use_auth_token": "Git would keep the secret; set the environment variable HF_TOKEN",
}
# keys of rank_pattern, alpha_pattern, … and tokenizer_kwargs depend on the model, so only their
# values are checked here


def _adapter(value: dict[str, Any]) -> dict[str, Any]:
    peft_types = library.peft_types()
    peft_type = str(value.get("peft_type"))
    if peft_type not in peft_types:
        hint = suggest(peft_type, peft_types)
        raise ValueError(f"peft_type: {value.get('peft_type')!r} is no PEFT method; {hint}")
    own_faults = _adapter_faults(value)
    reported = {line.split(":")[0] for line in own_faults}
    rest = {key: option for key, option in value.items() if key not in reported}
    own_faults += types.faults_of_mapping(rest, library.peft_fields(peft_type))
    types.refuse(own_faults)
    types.refuse(list(adapter_ranges.faults(value, peft_type)))
    return value


def _adapter_faults(value: dict[str, Any]) -> list[str]:
    """Options that PEFT accepts, but that train nothing or something else."""
    faults = []
    if reason := UNTRAINABLE_PEFT_TYPES.get(value["peft_type"]):
        faults.append(f"peft_type: {value['peft_type']!r} can not be trained here: {reason}")
    if value.get("task_type", "CAUSAL_LM") != "CAUSAL_LM":
        task = value["task_type"]
        faults.append(f"task_type: {task!r} is not what is trained here; remove it")
    if value.get("inference_mode"):
        faults.append("inference_mode: true trains nothing; remove it")
    for key, reason in REFUSED_FIELDS.items():
        if value.get(key) is not None:
            faults.append(f"{key}: cannot be set here: {reason}; remove it")
    tokenizer = value.get("tokenizer_kwargs")
    for key in tokenizer if isinstance(tokenizer, dict) else ():
        if key in TOKENIZER_REFUSED:
            faults.append(f"tokenizer_kwargs.{key}: cannot be set here: {TOKENIZER_REFUSED[key]}")
    bias = value.get("bias")
    if isinstance(bias, str) and bias not in ("none", "all") and not bias.endswith("_only"):
        choices = ("none", "all", f"{str(value['peft_type']).lower()}_only")
        faults.append(f"bias: {bias!r} is unknown; {suggest(bias, choices)}")
    init = value.get("init_lora_weights")
    if isinstance(init, str) and init.startswith(INITS_FROM_DATA):
        faults.append(
            f"init_lora_weights: {init!r} is computed from data before training, which is not done"
            " here; remove it, or choose pissa or olora"
        )
    if loftq := _loftq_fault(value, init):
        faults.append(f"loftq_config: {loftq}")
    if value.get("use_asa"):
        faults.append("use_asa: what it measures is lost in a restart; use ADALORA")
    mask = value.get("cpt_tokens_type_mask")
    if isinstance(mask, list) and mask and {*map(type, mask)} == {int} and max(mask) % 4:
        faults.append(
            f"cpt_tokens_type_mask: ends in type {max(mask)}, where a multiple of 4 (an answer)"
            " must be: no token of the rows would count in the loss"
        )
    return faults


def _loftq_fault(value: dict[str, Any], init: object) -> str | None:
    """PEFT ignores `loftq_config` without LoftQ, and needs all of its keys with it."""
    options = value.get("loftq_config") or {}
    fields = library.peft_fields("LORA")["loftq_config"].fields or {}
    if not isinstance(options, dict) or set(options) - set(fields):
        return None  # reported elsewhere
    if options and init != "loftq":
        return "does nothing without init_lora_weights: loftq; set one or the other"
    missing = [key for key in fields if key not in options] if init == "loftq" else []
    return f"{missing[0]} is missing, which init_lora_weights: loftq needs" if missing else None


# a PEFT configuration, as adapter_config.json holds it
Adapter = Annotated[dict[str, Any], AfterValidator(_adapter)]
