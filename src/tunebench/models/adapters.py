"""Adapters by PEFT, checked against the model: its modules exist, ranks and shapes fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.config import library
from tunebench.config.options import Options
from tunebench.errors import SourceError, suggest

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

# keys of PEFT configurations that list modules by the suffix of their names
MODULE_LISTS = ("target_modules", "modules_to_save", "feedforward_modules", "exclude_modules")
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

    _check_modules(model, adapter)
    _check_patterns(model, adapter)
    fields = library.peft_fields(adapter["peft_type"])
    schedule = {"total_step": STEPS_UNKNOWN} if "total_step" in fields else {}
    config = get_peft_config({"task_type": "CAUSAL_LM", **schedule, **adapter})
    for key in REQUIRED:
        if getattr(config, key, 0) is None:
            raise ValueError(f"{key}: is missing; {adapter['peft_type']} needs a number")
    try:
        adapted = get_peft_model(model, config)
    except (ValueError, re.error):
        _check_target_pattern(model, adapter.get("target_modules"))
        raise
    _restore_replaced(adapted)
    _check_ranks(adapted)
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
        SourceError: if the adapter was trained on a model with other modules or shapes.
    """
    from peft import PeftConfig, PeftModel

    config, trained_on = PeftConfig.from_pretrained(folder), model.name_or_path
    # taken from this model, so that the shapes show whether it is another one
    for key in TAKEN_FROM_MODEL:
        if hasattr(config, key) and key not in adapter:
            setattr(config, key, None)
    if isinstance(adapter.get("target_modules"), str):
        config.target_modules = adapter["target_modules"]
    fault = f"{folder}: the adapter there was trained on another model than {trained_on}"
    remedy = "run its training again (dvc repro), or name the model that it was trained on"
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
    for reason in _differences(restored, folder):
        raise SourceError(f"{fault}: {reason}; {remedy}")
    return restored


def linear_modules(model: PreTrainedModel) -> list[str]:
    """The distinct last parts of linear layers' names, in the model's order."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return list(
        dict.fromkeys(
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D)
        )
    )


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


def _check_modules(model: PreTrainedModel, adapter: Options) -> None:
    """Refuse a name that no module has; PEFT ignores it if another one matches."""
    names = [f".{name}" for name, _ in model.named_modules()]
    for key in MODULE_LISTS:
        names_given = adapter.get(key)
        for name in names_given if isinstance(names_given, list) else ():
            if not any(module.endswith(f".{name}") for module in names):
                raise ValueError(f"{key}: the model has no module {name!r}; {_hint(model, name)}")


def _check_patterns(model: PreTrainedModel, adapter: Options) -> None:
    """Refuse a pattern, as in `rank_pattern`, that matches no module; PEFT ignores it."""
    names = [name for name, _ in model.named_modules()]
    patterns = {key: value for key, value in adapter.items() if key.endswith("_pattern")}
    for key, patterns_given in patterns.items():
        for pattern in patterns_given if isinstance(patterns_given, dict) else ():
            try:  # as PEFT's `get_pattern_key` matches them
                matched = any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)
            except re.error as error:
                raise ValueError(f"{key}: {pattern!r} is no regular expression: {error}") from None
            if not matched:
                raise ValueError(
                    f"{key}: {pattern!r} matches no module's name; {_hint(model, pattern)}"
                )


def _check_target_pattern(model: PreTrainedModel, pattern: Any) -> None:
    if not isinstance(pattern, str):
        return
    try:
        matched = any(re.fullmatch(pattern, name) for name, _ in model.named_modules())
    except re.error as error:
        raise ValueError(f"target_modules: {pattern!r} is no regular expression: {error}") from None
    if not matched and pattern != "all-linear":
        linear = linear_modules(model)
        raise ValueError(
            f"target_modules: {pattern!r} matches no module's whole name; to name modules by their"
            f" ends, list them, as [{', '.join(linear[:2])}]. It has {', '.join(linear)}"
        )


def _hint(model: PreTrainedModel, name: str) -> str:
    linear = linear_modules(model)
    hint = suggest(name, linear)
    return hint if hint.startswith("choose") else f"{hint} It has {', '.join(linear)}"


def _check_ranks(adapted: PeftModel) -> None:
    from peft.tuners.lora import LoraLayer

    for name, module in adapted.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        inner, outer = module.in_features, module.out_features
        for rank in module.r.values():
            if rank > min(inner, outer):
                raise ValueError(
                    f"rank {rank} is above that of {name.removeprefix('base_model.model.')}, which"
                    f" is {outer} × {inner}; lower r to {min(inner, outer)} or less, or take"
                    " the module out of target_modules"
                )


def _differences(restored: PeftModel, folder: Path) -> Iterator[str]:
    """How the tensors in an adapter's file differ from those that the model expects."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    expected = get_peft_model_state_dict(restored, save_embedding_layers=False)
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        saved = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
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
