"""Base model, tokenizer, quantization and adapter, ready to train or to answer.

- `built_in`: classes of transformers only, so that no code of a model runs
- `weights`: a model from its folder, with all of its weights or with none
- `adapters`: adapters by PEFT, attached or restored
- `dequantized`: a GGUF file as an ordinary model folder
- `gguf_cache`: where that folder is
- `gguf_tokenizer`: the tokenizer of a GGUF file, with what transformers leaves out of it
- `dtypes`: `dtype: auto`, by measurement
- `modules`: the model's modules, and names in an adapter's configuration that match none
- `compatibility`: whether a model can be loaded, and which adapters fit it
- `pinned_files`: whether a model's files are still those that were pinned
- `deployment`: whether an adapter can be merged, or served beside its base
- `memory`: peak memory, and running out of it
- `shortcuts`: faster code paths, used where they give the same numbers
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
from tunebench.models import adapters, built_in, gguf_cache, pinned_files, weights
from tunebench.prompts import tokenization

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Method = PromptingMethod | TuningMethod


@dataclass(frozen=True)
class Base:
    """A base model: the folder and revision of its files, and how they are loaded.

    `revision` is the Hub's commit, or a hash of the files in a local folder.
    """

    folder: Path
    revision: str
    settings: Model

    @classmethod
    def pinned(cls, settings: Model, pin: dict[str, Any]) -> Base:
        """The model that `fetch_model` pinned.

        Raises:
            SourceError: if its files are not there any more, or are others.
        """
        folder = files_folder(pin)
        pinned_files.check(folder, pin)
        if settings.dtype == "auto":
            settings = settings.model_copy(update={"dtype": pin["dtype"]})
        return cls(folder, pin["revision"], settings)

    def described(self) -> dict[str, Any]:
        """Its provenance: the settings, with the resolved revision."""
        return self.settings.model_dump(exclude_none=True) | {"revision": self.revision}


def device() -> str:
    """`cuda` if available, else `cpu`."""
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
    """The model that a method starts from, or with `trained` the tuned one.

    Args:
        trained: the folder that `training.train` wrote: an adapter, or a full model.
        dtype: of its weights, instead of that of the settings.

    Raises:
        SourceError: if the adapter in `trained` belongs to another model, or if files of either
            are damaged.
    """
    full_model = trained is not None and not (trained / "adapter_config.json").exists()
    quantization = getattr(method, "quantization", None)
    settings = base.settings
    options = {
        "dtype": dtype or settings.dtype,
        "device_map": _device_map(settings),
        "attn_implementation": settings.attn_implementation,
    }
    if quantization:
        options["quantization_config"] = quantization_config(quantization, settings.dtype)
    folder = trained if trained is not None and full_model else base.folder
    remedy = built_in.RETRAIN if full_model else built_in.AGAIN
    model = weights.load(folder, complete=not sharded(), remedy=remedy, **options)
    if settings.dtype != "bfloat16":
        _keep_4bit_weights(model)
    if trained is None or full_model:
        return model
    return adapters.restore(model, trained, getattr(method, "adapter", {}))


def with_adapter(model: PreTrainedModel, method: PeftMethod, training: Options) -> PreTrainedModel:
    """The model with a new adapter by `method.adapter`, ready to train.

    Raises:
        ValueError: if the adapter does not fit the model; see `adapters.attach`.
    """
    from peft import prepare_model_for_kbit_training

    _keep_4bit_weights(model)
    # not with FSDP, which needs one dtype: it makes every weight that is not quantized float32
    if method.quantization is not None and not sharded():
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=training.get("gradient_checkpointing", False)
        )
    return adapters.attach(model, method.adapter)


def _keep_4bit_weights(model: PreTrainedModel) -> None:
    """Turn off bitsandbytes' AVX-512 bfloat16 kernel for 4-bit weights.

    On a CPU that supports it, bitsandbytes repacks the weights for good at the first batch outside
    of training. The kernel rounds to bfloat16 whatever the dtype, and has no backward pass: after
    one evaluation, no layer below would get a gradient.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(base: Base) -> tokenization.Tokenizer:
    """The tokenizer of a base model; tuning never changes it."""
    return tokenization.load(base.folder)


def files_folder(pin: dict[str, Any]) -> Path:
    """The folder of a pin's files: a local one, or one in the Hugging Face cache."""
    if "gguf" in pin["source"]:
        return gguf_cache.folder(pin["revision"], pin["source"]["dtype"])
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
                allow_patterns=list(pin["files"]),  # other files were not downloaded
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        raise SourceError(
            f"{repository} at {revision} is not in the Hugging Face cache any more; fetch it again:"
            " dvc repro --force --single-item fetch_model"
        ) from None


def quantization_config(quantization: str | Options, dtype: str = "float32") -> Any:
    """How bitsandbytes quantizes weights that are loaded.

    `nf4` is QLoRA's recipe (arXiv 2305.14314): double quantization, computing in `dtype`.
    """
    from transformers import BitsAndBytesConfig

    if isinstance(quantization, dict):
        return BitsAndBytesConfig(**quantization)
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def sharded() -> bool:
    """Whether this process trains with FSDP, which shards the model's weights."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def _device_map(settings: Model) -> str | dict[str, str] | None:
    """The settings' own `device_map`, or else all of the model on this process's device.

    None with FSDP, where the first process loads the weights and sends the others their shards.
    """
    import torch

    if sharded():
        return None
    here = f"cuda:{torch.cuda.current_device()}" if device() == "cuda" else "cpu"
    return settings.device_map or {"": here}
