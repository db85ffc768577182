"""Base model, tokenizer, quantization and adapter, ready to train or to answer.

- `adapters`: what PEFT attaches, and what it asks of the model
- `deployment`: whether an adapter can be merged, or served beside its base
- `memory`: peak memory, and running out of it
- `shortcuts`: faster ways to the same numbers, used where they give the same
- `outcomes`: runs that end without a score, which is a result too
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.config.options import Options
from tunebench.config.schema import Model, PeftMethod, PromptingMethod, TuningMethod
from tunebench.errors import SourceError
from tunebench.models import adapters
from tunebench.prompts import tokenization

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Method = PromptingMethod | TuningMethod


@dataclass(frozen=True)
class Base:
    """An untouched model: where its files lie, which they are, and how they are loaded.

    `revision` is the Hub's commit, or for a local folder a hash of its files.
    """

    folder: Path
    revision: str
    settings: Model

    @classmethod
    def pinned(cls, settings: Model, pin: dict[str, Any]) -> Base:
        """The model that `fetch_model` pinned."""
        return cls(_folder(pin), pin["revision"], settings)

    def described(self) -> dict[str, Any]:
        """What provenance says of it: its settings, with the revision that was resolved."""
        return self.settings.model_dump(exclude_none=True) | {"revision": self.revision}


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


def load(
    base: Base, method: Method, *, trained: Path | None = None, dtype: str | None = None
) -> PreTrainedModel:
    """The model that a method trains, or with `trained` the one that its training left.

    Args:
        trained: the folder that `training.train` wrote: an adapter, or a whole model.
        dtype: of its weights, where it is not that of the settings.

    Raises:
        SourceError: if the adapter there was trained on another model.
    """
    from transformers import AutoModelForCausalLM

    whole = trained is not None and not (trained / "adapter_config.json").exists()
    quantization = getattr(method, "quantization", None)
    settings = base.settings
    options = {
        "dtype": dtype or settings.dtype,
        "device_map": _device_map(settings),
        "use_safetensors": True,
        "local_files_only": True,
        "attn_implementation": settings.attn_implementation,
    }
    if quantization:
        options["quantization_config"] = _quantization(quantization, settings.dtype)
    model = AutoModelForCausalLM.from_pretrained(trained if whole else base.folder, **options)
    if settings.dtype != "bfloat16":
        _compute_as_asked(model)
    if trained is None or whole:
        return model
    return adapters.restore(model, trained, getattr(method, "adapter", {}))


def with_adapter(model: PreTrainedModel, method: PeftMethod, training: Options) -> PreTrainedModel:
    """The model with the fresh adapter that `method.adapter` describes, ready to train.

    Raises:
        ValueError: if the adapter does not fit the model; see `adapters.attach`.
    """
    from peft import prepare_model_for_kbit_training

    _compute_as_asked(model)
    # which makes every weight that is not quantized float32, and FSDP shares out one dtype only
    if method.quantization is not None and not sharded():
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=training.get("gradient_checkpointing", False)
        )
    return adapters.attach(model, method.adapter)


def _compute_as_asked(model: PreTrainedModel) -> None:
    """Keep 4-bit weights as they are, in the precision that was asked for.

    On a CPU with bfloat16 instructions, bitsandbytes rearranges them at the first batch outside of
    training, for good, for a kernel that rounds to bfloat16 whatever the dtype and has no gradient:
    after one evaluation, nothing below a layer would be trained any more.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(base: Base) -> tokenization.Tokenizer:
    """The tokenizer of a base model; tuning never changes it."""
    return tokenization.load(base.folder)


def sharded() -> bool:
    """Whether this is one of the processes among which FSDP shares out a model's weights."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def _device_map(settings: Model) -> str | dict[str, str] | None:
    """Where the settings say, or all of it on this process's device, one of several GPUs perhaps.

    With FSDP the library decides: the first process reads the weights, and sends each its part.
    """
    import torch

    if sharded():
        return None
    here = f"cuda:{torch.cuda.current_device()}" if device() == "cuda" else "cpu"
    return settings.device_map or {"": here}


def _folder(pin: dict[str, Any]) -> Path:
    """Where a pin's files lie: a local folder, or a snapshot in the Hugging Face cache."""
    if pin["source"].get("path"):
        return Path(pin["source"]["path"])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, revision = pin["source"]["hub"], pin["revision"]
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(pin["files"]),  # the rest was never fetched
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        raise SourceError(
            f"{repository} at {revision} is not in the Hugging Face cache any more; fetch it again:"
            " dvc repro --force --single-item fetch_model"
        ) from None


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
