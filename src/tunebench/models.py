"""Base model, tokenizer, quantization and adapter, ready to train or to answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import tokenization
from tunebench.config.schema import Model, Options, PeftMethod, PromptingMethod, TuningMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Method = PromptingMethod | TuningMethod


def device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The accelerator's name, or `cpu` with its thread count."""
    import torch

    if device() == "cuda":
        return str(torch.cuda.get_device_name())
    return f"cpu, {torch.get_num_threads()} threads"


def load(model: Model, method: Method, *, trained: Path | None = None) -> PreTrainedModel:
    """The model that a method trains, or with `trained` the one that its training left.

    Args:
        trained: the folder that `training.train` wrote: an adapter, or a whole model.
    """
    from transformers import AutoModelForCausalLM

    whole = trained is not None and not (trained / "adapter_config.json").exists()
    quantization = getattr(method, "quantization", None)
    base = AutoModelForCausalLM.from_pretrained(
        trained if whole else model.path,
        dtype=model.dtype,
        device_map={"": device()},
        use_safetensors=True,
        local_files_only=True,
        attn_implementation=model.attn_implementation,
        **(
            {"quantization_config": _quantization(quantization, model.dtype)}
            if quantization
            else {}
        ),
    )
    if trained is None or whole:
        return base
    from peft import PeftModel

    return PeftModel.from_pretrained(base, trained)


def with_adapter(base: PreTrainedModel, method: PeftMethod, training: Options) -> PreTrainedModel:
    """The base model with the fresh adapter that `method.adapter` describes, ready to train."""
    from peft import get_peft_config, get_peft_model, prepare_model_for_kbit_training

    if method.quantization is not None:
        base = prepare_model_for_kbit_training(
            base, use_gradient_checkpointing=training.get("gradient_checkpointing", False)
        )
    return get_peft_model(base, get_peft_config({"task_type": "CAUSAL_LM", **method.adapter}))


def load_tokenizer(model: Model) -> tokenization.Tokenizer:
    """The tokenizer of a base model; tuning never changes it."""
    return tokenization.load(model.path)


def _quantization(wanted: str | Options, dtype: str) -> Any:
    """`nf4` is QLoRA's own recipe (arXiv 2305.14314): double quantization, the model's dtype."""
    from transformers import BitsAndBytesConfig

    if isinstance(wanted, dict):
        return BitsAndBytesConfig(**wanted)
    if wanted == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=wanted,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
