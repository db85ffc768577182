"""A model's modules, and what an adapter's configuration names that the model does not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunebench.config.options import Options
from tunebench.errors import suggest

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

# keys of PEFT configurations that list modules by the suffix of their names
MODULE_LISTS = ("target_modules", "modules_to_save", "feedforward_modules", "exclude_modules")


def check(model: PreTrainedModel, adapter: Options) -> None:
    """Refuse names and layers that the model does not have; PEFT ignores them if others match.

    Raises:
        ValueError: with the key of the configuration, the names, and those that the model has.
    """
    modules = [f".{name}" for name, _ in model.named_modules()]
    for key in MODULE_LISTS:
        if missing := _missing(adapter.get(key), modules):
            names = " nor ".join(map(repr, missing))
            raise ValueError(f"{key}: the model has no module {names}; {_hint(model, missing)}")
    parameters = [f".{name}" for name, _ in model.named_parameters()]
    if missing := _missing(adapter.get("target_parameters"), parameters):
        choices = _fused(model) or dict.fromkeys(name.rpartition(".")[2] for name in parameters)
        raise ValueError(
            f"target_parameters: the model has no parameter {' nor '.join(map(repr, missing))};"
            f" {suggest(missing[0], choices)}"
        )
    _check_patterns(model, adapter)
    _check_layers(model, adapter.get("layers_to_transform"))


def check_targets(model: PreTrainedModel, adapter: Options, error: Exception) -> None:
    """Say what is wrong with `target_modules` if that is why PEFT raised `error`.

    Raises:
        ValueError: if it is missing where PEFT has no default, or a pattern that matches nothing.
    """
    given = adapter.get("target_modules")
    if given is None and "target_modules" in str(error):
        raise ValueError(
            f"target_modules: is missing, and PEFT has no default for {model.config.model_type}"
            f" models; {_hint(model, [''])}"
        ) from error
    if not isinstance(given, str):
        return
    try:
        matched = any(re.fullmatch(given, name) for name, _ in model.named_modules())
    except re.error as fault:
        raise ValueError(f"target_modules: {given!r} is no regular expression: {fault}") from None
    if not matched and given != "all-linear":
        linear = linear_modules(model)
        raise ValueError(
            f"target_modules: {given!r} matches no module's whole name; to name modules by their"
            f" ends, list them, as [{', '.join(linear[:2])}]. It has {', '.join(linear)}"
        )


def check_ranks(adapted: PeftModel) -> None:
    """Refuse a LoRA of a rank above that of the matrix that it is added to.

    Raises:
        ValueError: with the module's name and shape.
    """
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


def _missing(given: Any, names: Sequence[str]) -> list[str]:
    """Which of the listed names is the end of none of `names`."""
    listed = given if isinstance(given, list) else []
    return [end for end in listed if not any(name.endswith(f".{end}") for name in names)]


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
                    f"{key}: {pattern!r} matches no module's name; {_hint(model, [pattern])}"
                )


def _check_layers(model: PreTrainedModel, given: Any) -> None:
    """Refuse layers beyond the model's; PEFT ignores them."""
    count: int | None = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    layers = given if isinstance(given, list) else [given]
    numbers = [layer for layer in layers if isinstance(layer, int)]
    if count is not None and (beyond := [layer for layer in numbers if layer >= count]):
        raise ValueError(
            f"layers_to_transform: the model has no layer {', '.join(map(str, beyond))}; its layers"
            f" are 0 to {count - 1}"
        )


def _hint(model: PreTrainedModel, names: Sequence[str]) -> str:
    """The modules that the model has, the nearest to one of `names` first."""
    linear = linear_modules(model)
    hints = [suggest(name, linear) for name in names]
    near = next((hint for hint in hints if not hint.startswith("choose")), None)
    fused = ", ".join(_fused(model))
    listed = f"{near} It has {', '.join(linear)}" if near else hints[0]
    return f"{listed}, and fused experts for target_parameters: {fused}" if fused else listed


def _fused(model: PreTrainedModel) -> list[str]:
    """Names of the matrices of experts that are one parameter, without layers."""
    names = (name for name, weight in model.named_parameters() if weight.ndim == 3)
    experts = (name for name in names if not name.endswith(".weight"))
    return list(dict.fromkeys(re.sub(r"^.*\.\d+\.", "", name) for name in experts))
