"""What an adapter asks of a model: modules that it has, ranks and shapes that fit."""

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

# keys of PEFT's configurations that list modules by the ends of their names
MODULE_LISTS = ("target_modules", "modules_to_save", "feedforward_modules", "exclude_modules")
# which PEFT has no default for, and fails on in its own arithmetic
REQUIRED = ("num_virtual_tokens", "adapter_len", "adapter_layers")
# AdaLoRA's schedule until training has counted its steps
STEPS_UNKNOWN = 10**9
# what PEFT takes from the model where a method with virtual tokens does not say it
TAKEN_FROM_MODEL = ("num_layers", "token_dim", "num_attention_heads")


def attach(model: PreTrainedModel, adapter: Options) -> PeftModel:
    """The model with a fresh adapter, ready to train.

    Args:
        adapter: keys of a PEFT configuration.

    Raises:
        ValueError: if it names modules that the model lacks, a rank is above its matrix's, or
            nothing is left to train; PEFT's own errors come as they are.
    """
    from peft import get_peft_config, get_peft_model

    _refuse_absent(model, adapter)
    _refuse_patterns(model, adapter)
    known = library.peft_fields(adapter["peft_type"])
    given = {"total_step": STEPS_UNKNOWN} if "total_step" in known else {}
    config = get_peft_config({"task_type": "CAUSAL_LM", **given, **adapter})
    for key in REQUIRED:
        if getattr(config, key, 0) is None:
            raise ValueError(f"{key}: is missing; {adapter['peft_type']} needs a number")
    try:
        adapted = get_peft_model(model, config)
    except (ValueError, re.error):
        _refuse_unmatched(model, adapter.get("target_modules"))
        raise
    _mend_replaced(adapted)
    _refuse_ranks(adapted)
    if not sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad):
        raise ValueError(
            f"{adapter['peft_type']} as configured here leaves no weight to train: all are frozen"
            " or empty; give it modules and a size above 0, and no inference_mode"
        )
    if getattr(config, "feedforward_modules", None) and isinstance(config.target_modules, set):
        # PEFT fills in the architecture's own, and would not load those beside fewer targets
        config.feedforward_modules = set(config.feedforward_modules) & config.target_modules
    return adapted


def restore(model: PreTrainedModel, folder: Path, adapter: Options) -> PeftModel:
    """The model with the adapter that training left in `folder`.

    Args:
        adapter: the configuration's keys as `attach` was given them.

    Raises:
        SourceError: if the adapter was trained on a model of other modules or shapes.
    """
    from peft import PeftConfig, PeftModel

    config, trained_on = PeftConfig.from_pretrained(folder), model.name_or_path
    # what came from the model comes from this one: the shapes then tell whether it is another
    for key in TAKEN_FROM_MODEL:
        if hasattr(config, key) and key not in adapter:
            setattr(config, key, None)
    if isinstance(adapter.get("target_modules"), str):
        config.target_modules = adapter["target_modules"]
    fault = f"{folder}: the adapter there was trained on another model than {trained_on}"
    remedy = "run its training again (dvc repro), or name the model that it was trained on"
    try:
        # what has another shape stays as it was drawn, and is found below
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
    """The last parts of linear layers' names, each once, in the model's order."""
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
    """How many positions prompt learning puts before a text."""
    settings = getattr(model, "active_peft_config", None)
    return int(getattr(settings, "num_virtual_tokens", None) or 0)


def _mend_replaced(adapted: PeftModel) -> None:
    """Give back what weights lose that PEFT replaces by others of another dtype or device.

    AdaLoRA's count of ranks would be trained, which no file holds, and OSF's gradients not be
    projected.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch.nn import ParameterDict

    for module in adapted.modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        for name in module.other_param_names:  # than those that train
            if isinstance(fixed := getattr(module, name, None), ParameterDict):
                fixed.requires_grad_(False)
        if hasattr(module, "hook_handles"):
            module._detach_hooks()
            module._attach_hooks(adapted.active_adapter)


def _refuse_absent(model: PreTrainedModel, adapter: Options) -> None:
    """PEFT passes over a name that no module has, as long as another one is found."""
    names = [f".{name}" for name, _ in model.named_modules()]
    for key in MODULE_LISTS:
        wanted = adapter.get(key)
        for name in wanted if isinstance(wanted, list) else ():
            if not any(known.endswith(f".{name}") for known in names):
                raise ValueError(f"{key}: the model has no module {name!r}; {_hint(model, name)}")


def _refuse_patterns(model: PreTrainedModel, adapter: Options) -> None:
    """PEFT passes over a pattern that matches no module's name, as `rank_pattern` has them."""
    names = [name for name, _ in model.named_modules()]
    patterns = {key: value for key, value in adapter.items() if key.endswith("_pattern")}
    for key, given in patterns.items():
        for pattern in given if isinstance(given, dict) else ():
            try:  # as PEFT's `get_pattern_key` matches them
                found = any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)
            except re.error as error:
                raise ValueError(f"{key}: {pattern!r} is no regular expression: {error}") from None
            if not found:
                raise ValueError(
                    f"{key}: {pattern!r} matches no module's name; {_hint(model, pattern)}"
                )


def _refuse_unmatched(model: PreTrainedModel, pattern: Any) -> None:
    if not isinstance(pattern, str):
        return
    try:
        found = any(re.fullmatch(pattern, name) for name, _ in model.named_modules())
    except re.error as error:
        raise ValueError(f"target_modules: {pattern!r} is no regular expression: {error}") from None
    if not found and pattern != "all-linear":
        linear = linear_modules(model)
        raise ValueError(
            f"target_modules: {pattern!r} matches no module's whole name; to name modules by their"
            f" ends, list them, as [{', '.join(linear[:2])}]. It has {', '.join(linear)}"
        )


def _hint(model: PreTrainedModel, name: str) -> str:
    linear = linear_modules(model)
    hint = suggest(name, linear)
    return hint if hint.startswith("choose") else f"{hint} It has {', '.join(linear)}"


def _refuse_ranks(adapted: PeftModel) -> None:
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
    """How the tensors of an adapter's file differ from those that the model takes."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    own = get_peft_model_state_dict(restored, save_embedding_layers=False)
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        saved = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    for name in sorted(saved.keys() | own.keys()):
        if name not in own:
            yield f"{name} has no place in the model"
        elif name not in saved:
            yield f"{name} is not in the file"
        elif saved[name] != list(own[name].shape):
            yield f"{name} is {_size(saved[name])} there, and {_size(own[name].shape)} here"


def _reason(error: Exception) -> str:
    """The last line of what PEFT or torch say; before it stand other layers of the same kind."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not in the file"
    return str(error).strip().splitlines()[-1].strip().rstrip(".")


def _size(shape: Any) -> str:
    return " × ".join(map(str, shape))
