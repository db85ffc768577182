"""Sections whose keys belong to a library, checked by that library's field names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from tunebench.config import trainer_fields, types
from tunebench.config.adapter_options import UNTRAINABLE_PEFT_TYPES as UNTRAINABLE_PEFT_TYPES
from tunebench.config.adapter_options import Adapter as Adapter
from tunebench.config.base import Count, Settings
from tunebench.config.generation_options import Generation as Generation
from tunebench.config.training_values import (
    MANAGED_TRAINING_FIELDS,
    managed_faults,
    value_faults,
)
from tunebench.errors import suggest

Options = dict[str, Any]


class Launch(Settings):
    """In how many processes a run trains."""

    num_processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many processes train one run, one on each GPU."""
    config: str | None = None
    """A file of `accelerate launch`; left out, torchrun starts the processes."""


class OwnTraining(Settings):
    """What this project adds to TrainingArguments."""

    loss_on: Literal["completion", "all"] = "completion"
    """The loss counts the tokens of the answer, or those of the prompt too."""
    packing: Literal[False, True, "concat"] = False
    """`true` puts several whole rows into one sequence, each with its own attention and positions;
    `concat` strings rows together and attends across them, as TRL did for the published studies."""
    packing_length: Count = 512
    """The most tokens in a packed sequence; with `concat`, just that many."""
    launch: Launch | None = None
    """How several processes train one run."""

    @classmethod
    def part(cls, settings: Options) -> tuple[OwnTraining, Options]:
        """A run's training settings, split into this project's own and TrainingArguments."""
        own = {key: value for key, value in settings.items() if key in cls.model_fields}
        return cls(**own), {key: value for key, value in settings.items() if key not in own}


def merge(*levels: Mapping[str, Any]) -> Options:
    """Mappings merged key by key, nested ones too; later levels win.

    >>> merge({"a": {"x": 1, "y": 1}}, {"a": {"x": 2}})
    {'a': {'x': 2, 'y': 1}}
    """
    merged: Options = {}
    for level in levels:
        for key, value in level.items():
            old = merged.get(key)
            nested = isinstance(old, Mapping) and isinstance(value, Mapping)
            merged[key] = merge(old, value) if nested else value  # type: ignore[arg-type]
    return merged


def _training(value: Options) -> Options:
    faults = list(managed_faults(value))
    own = OwnTraining.model_fields
    try:
        OwnTraining(**{key: value[key] for key in value if key in own})
    except ValidationError as error:
        faults += [_own_fault(detail) for detail in error.errors()]
    rest = [key for key in value if key not in {*own, *MANAGED_TRAINING_FIELDS}]
    types.refuse(faults + [line for key in rest for line in _training_fault(key, value[key])])
    # torch takes no integer beside a float there
    betas = {key: float(value[key]) for key in ("adam_beta1", "adam_beta2") if key in value}
    return value | betas


def _training_fault(key: str, value: Any) -> list[str]:
    fields = trainer_fields.training_fields()
    if key not in fields:
        hint = suggest(key, {*fields, *OwnTraining.model_fields})
        return [f"{key}: unknown key; {hint}"]
    if problems := types.faults(key, value, fields[key]):
        return problems
    nested = trainer_fields.nested_fields(key)
    if isinstance(value, dict) and nested is not None:
        problems = [f"{key}.{line}" for line in types.faults_of_mapping(value, nested)]
    return problems or list(value_faults(key, value))


def _search(value: dict[str, Any]) -> dict[str, list[Any]]:
    faults = []
    for key, listed in value.items():
        if not isinstance(listed, list) or not listed:
            faults.append(f"{key}: {listed!r} is no list of values to try; write [1e-4, 1e-3]")
            continue
        for setting in listed:
            try:
                _training({key: setting})
            except ValueError as error:
                faults += str(error).splitlines()
    types.refuse(list(dict.fromkeys(faults)))
    return value


def _own_fault(detail: ErrorDetails) -> str:
    key, value = ".".join(map(str, detail["loc"])), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; {suggest(detail['loc'][-1], Launch.model_fields)}"
    if detail["type"] == "model_type":
        return f"{key}: {value!r} is no mapping; write {{num_processes: 2}}"
    if detail["type"] == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        choices = expected.replace("False", "false").replace("True", "true").split(", ")
        return f"{key}: {value!r} is unknown; {suggest(value, choices)}"
    return f"{key}: {value!r} {detail['msg'].replace('Input should', 'should')}"


# fields of transformers.TrainingArguments, and this project's own
Training = Annotated[Options, AfterValidator(_training)]
# training settings, each with the values to try
Search = Annotated[dict[str, Any], AfterValidator(_search)]
