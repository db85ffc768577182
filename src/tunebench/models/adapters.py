"""Adapters by PEFT, attached to a model or restored from a folder, with clear errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.config import library
from tunebench.config.options import Options
from tunebench.errors import SourceError
from tunebench.models import modules
from tunebench.models.built_in import RETRAIN, one_line

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

# keys without a usable default in PEFT, which would fail with an unclear error
REQUIRED = ("num_virtual_tokens", "adapter_len", "adapter_layers")
# placeholder for AdaLoRA's total_step until training knows its number of steps
STEPS_UNKNOWN = 10**9
# keys that PEFT fills in from the model if a method with virtual tokens does not set them
TAKEN_FROM_MODEL = ("num_layers", "token_dim", "num_attention_heads")


def attach(model: PreTrainedModel, adapter: Options) -> PeftModel:
    """The model with a fresh adapter, ready to train.

    Args:
        adapter: keys of a PEFT configuration.

    Raises:
        ValueError: if it names modules that the model lacks, a rank exceeds its matrix's, or no
            weight is trainable; also PEFT's own errors.
    """
    from peft import get_peft_config, get_peft_model

    modules.check(model, adapter)
    fields = library.peft_fields(adapter["peft_type"])
    schedule = {"total_step": STEPS_UNKNOWN} if "total_step" in fields else {}
    config = get_peft_config({"task_type": "CAUSAL_LM", **schedule, **adapter})
    for key in REQUIRED:
        if getattr(config, key, 0) is None:
            raise ValueError(f"{key}: is missing; {adapter['peft_type']} needs a number")
    try:
        adapted = get_peft_model(model, config)
    except (ValueError, re.error) as error:
        modules.check_targets(model, adapter, error)
        raise
    _restore_replaced(adapted)
    modules.check_ranks(adapted)
    if not sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad):
        raise ValueError(
            f"{adapter['peft_type']} as configured here leaves no weight to train: all are frozen"
            " or empty; give it modules and a size above 0, and no inference_mode"
        )
    if getattr(config, "feedforward_modules", None) and isinstance(config.target_modules, set):
        # PEFT adds the architecture's defaults, and fails to load those that are no targets
        config.feedforward_modules = set(config.feedforward_modules) & config.target_modules
    return adapted


def restore(model: PreTrainedModel, folder: Path, adapter: Options) -> PeftModel:
    """The model with the trained adapter in `folder`.

    Args:
        adapter: the keys that were passed to `attach`.

    Raises:
        SourceError: if its files are missing or damaged, or if it was trained on a model with other
            modules or shapes.
    """
    from peft import PeftModel

    config, saved, trained_on = read_config(folder), _saved_shapes(folder), model.name_or_path
    # taken from this model, so that the shapes show whether it is another one
    for key in TAKEN_FROM_MODEL:
        if hasattr(config, key) and key not in adapter:
            setattr(config, key, None)
    if isinstance(adapter.get("target_modules"), str):
        config.target_modules = adapter["target_modules"]
    fault = f"{folder}: the adapter there was trained on another model than {trained_on}"
    remedy = f"{RETRAIN}, or name the model that it was trained on"
    try:
        # tensors of another shape keep their initial values, and are reported below
        restored = PeftModel.from_pretrained(
            model, folder, config=config, ignore_mismatched_sizes=True
        )
    except (KeyError, ValueError) as error:
        raise SourceError(f"{fault}: {_reason(error)}; {remedy}") from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise SourceError(f"{fault}: {_reason(error)}; {remedy}") from error
    for reason in _differences(restored, saved):
        raise SourceError(f"{fault}: {reason}; {remedy}")
    return restored


def virtual_tokens(model: Any) -> int:
    """How many virtual tokens a prompt-learning method puts before a text."""
    settings = getattr(model, "active_peft_config", None)
    return int(getattr(settings, "num_virtual_tokens", None) or 0)


def _restore_replaced(adapted: PeftModel) -> None:
    """Restore what weights lose when PEFT replaces them to change their dtype or device.

    Without it AdaLoRA's rank counts would be trained, though no file stores them, and OSF's
    gradients would not be projected.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch.nn import ParameterDict

    for module in adapted.modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        for name in module.other_param_names:  # those that are not trained
            if isinstance(constants := getattr(module, name, None), ParameterDict):
                constants.requires_grad_(False)
        if hasattr(module, "hook_handles"):
            module._detach_hooks()
            module._attach_hooks(adapted.active_adapter)


def read_config(folder: Path) -> PeftConfig:
    """The configuration of a trained adapter."""
    from peft import PeftConfig

    path = folder / "adapter_config.json"
    try:
        config = PeftConfig.from_pretrained(folder)
        if config.peft_type is None:
            raise ValueError("it has no peft_type")
    except Exception as error:  # of as many kinds as a file can be damaged
        raise SourceError(f"{path} is cut or damaged ({one_line(error)}); {RETRAIN}") from error
    if getattr(config, "megatron_config", None):
        raise SourceError(
            f"{path}: megatron_config would import the module {config.megatron_core!r}; {RETRAIN}"
        )
    return config


def _saved_shapes(folder: Path) -> dict[str, list[int]]:
    """The shapes of a trained adapter's tensors, by name; PEFT would also take a pickled file."""
    from safetensors import SafetensorError, safe_open

    path = folder / "adapter_model.safetensors"
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SourceError(f"{path} is missing or damaged ({one_line(error)}); {RETRAIN}") from error


def _differences(restored: PeftModel, saved: dict[str, list[int]]) -> Iterator[str]:
    """How the tensors of an adapter's file differ from those that the model expects."""
    from peft import get_peft_model_state_dict

    expected = get_peft_model_state_dict(restored, save_embedding_layers=False)
    for name in sorted(saved.keys() | expected.keys()):
        if name not in expected:
            yield f"{name} has no place in the model"
        elif name not in saved:
            yield f"{name} is not in the file"
        elif saved[name] != list(expected[name].shape):
            yield f"{name} is {_size(saved[name])} there, and {_size(expected[name].shape)} here"


def _reason(error: Exception) -> str:
    """The last line of PEFT's or torch's message; the lines before it name similar layers."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not in the file"
    return str(error).strip().splitlines()[-1].strip().rstrip(".")


def _size(shape: Any) -> str:
    return " × ".join(map(str, shape))
