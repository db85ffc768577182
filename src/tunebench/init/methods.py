"""Which of the methods that params.yaml defines run on a new data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.config.baselines import BASELINES, BaselineMethod
from tunebench.config.schema import PeftMethod, PromptingMethod, TuningMethod
from tunebench.errors import ParameterError, suggest
from tunebench.init.answers import listed
from tunebench.init.case import Case


def prompting(case: Case) -> list[str]:
    """The first method without solved examples, and the first with some.

    Raises:
        ParameterError: if an option names a method that is not defined.
    """
    methods = {
        name: method
        for name, method in case.params.methods.items()
        if isinstance(method, PromptingMethod)
    }
    if case.answers.prompting is not None:
        return _given("--prompting", case.answers.prompting, methods)
    plain = [name for name, method in methods.items() if method.template is None]
    zero = [name for name in plain if not methods[name].shots]
    few = [name for name in plain if methods[name].shots]
    return zero[:1] + few[:1]


def shots(case: Case, chosen: list[str]) -> int:
    """The most solved examples of prompting methods."""
    return max((case.params.prompting_method(name).shots for name in chosen), default=0)


def tuning(case: Case) -> list[str]:
    """A LoRA on some layers and one on all, as far as they are defined.

    They are not quantized if the model fits this machine without.

    Raises:
        ParameterError: if an option names a method that is not defined.
    """
    methods = {
        name: method
        for name, method in case.params.methods.items()
        if isinstance(method, TuningMethod)
    }
    if case.answers.tuning is not None:
        return _given("--tuning", case.answers.tuning, methods)
    whole = case.machine.fits(case.model.parameters, case.dtype)
    loras = {
        name: method
        for name, method in methods.items()
        if isinstance(method, PeftMethod)
        and "LORA" in str(method.adapter.get("peft_type", "")).upper()
        and not method.search
    }

    def order(name: str) -> tuple[bool, bool]:
        noisy = bool(loras[name].training.get("neftune_noise_alpha"))
        return noisy, (loras[name].quantization is None) != whole

    ranked = sorted(loras, key=order)
    wide = [name for name in ranked if loras[name].adapter.get("target_modules") == "all-linear"]
    narrow = [name for name in ranked if name not in wide]
    return [*narrow[:1], *wide[:1]] or list(methods)[:1]


def baselines(case: Case) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The baselines of the task, and definitions of those that params.yaml lacks.

    A kind is named as itself, unless params.yaml has another method of that name.
    """
    task = case.roles.task
    defined = {
        name: method.kind
        for name, method in case.params.methods.items()
        if isinstance(method, BaselineMethod) and method.task == task
    }
    missing = {
        kind: {"kind": kind}
        for kind, settings in BASELINES.items()
        if settings.task == task
        and kind not in defined.values()
        and kind not in case.params.methods
    }
    kinds = defined | {kind: kind for kind in missing}
    return sorted(kinds, key=lambda name: list(BASELINES).index(kinds[name])), missing


def _given(option: str, text: str, methods: Mapping[str, Any]) -> list[str]:
    for name in listed(text):
        if name not in methods:
            hint = suggest(name, methods)
            raise ParameterError([f"{option}: {name!r} is no such method; {hint}"])
    return listed(text)
