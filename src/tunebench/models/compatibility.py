"""Whether a model can be loaded, and which methods' adapters fit it, before anything is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunebench import models
from tunebench.config.schema import PeftMethod
from tunebench.errors import ParameterError, SourceError
from tunebench.models import built_in, weights
from tunebench.prompts import tokenization


def check_files(folder: Path) -> None:
    """Refuse a model whose files do not make one: weights, configuration, tokenizer.

    Nothing is loaded but the tokenizer, and no code of the model runs.

    Raises:
        SourceError: with the first fault.
    """
    weights.check(folder)
    tokenizer = tokenization.load(folder)
    # special tokens may lie beyond the embedding: text from rows never becomes one
    special = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    largest = max(set(tokenizer.get_vocab().values()) - special, default=0)
    size = built_in.config(folder).get_text_config().vocab_size
    if largest >= size:
        raise SourceError(
            f"{folder}: its tokenizer has token ids up to {largest}, and the embedding"
            f" {size} rows; get tokenizer and weights of one model"
        )


def check_methods(model: str, folder: Path, methods: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse adapters that do not fit the model.

    PEFT itself is asked, on the model without its weights. What it computes from the weights, as
    the initialization by PiSSA, is left to training.

    Args:
        model: its name in params.yaml.
        methods: the PEFT methods of params.yaml, by name.

    Raises:
        ParameterError: with a line for each method whose adapter does not fit.
    """
    named = {name: PeftMethod.model_validate(fields) for name, fields in methods.items()}
    known: dict[str, str] = {}
    faults = []
    for name, method in named.items():
        same = json.dumps([method.adapter, method.quantization], sort_keys=True)
        if same not in known:
            known[same] = _fault(folder, method)
        if fault := known[same]:
            place, text = _placed(fault, method)
            faults.append(f"params.yaml: methods.{name}.adapter{place}: {text} (models.{model})")
    if faults:
        raise ParameterError(faults)


def _fault(folder: Path, method: PeftMethod) -> str:
    """Why PEFT does not make the method's adapter for the model; empty if it does."""
    quantization = method.quantization and models.quantization_config(method.quantization)
    model = weights.empty(folder, quantization)
    try:
        models.with_adapter(model, method, {})
    except RuntimeError:  # NotImplementedError too: the weights that it needs are not there
        return ""
    except (TypeError, ValueError, LookupError, AttributeError, ImportError, OSError) as error:
        return built_in.one_line(error)
    return ""


def _placed(fault: str, method: PeftMethod) -> tuple[str, str]:
    """The key that a message begins with, as a path, and the rest of it."""
    key = re.match(r"(\w+): ", fault)
    if key is not None and key[1] in method.adapter | {"target_modules": None}:
        return f".{key[1]}", fault[key.end() :]
    return "", fault
