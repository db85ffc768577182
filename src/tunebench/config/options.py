"""Sections whose keys are another library's: checked by that library's own field names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationError
from pydantic_core import ErrorDetails

from tunebench.config import library
from tunebench.config.base import Count, Settings
from tunebench.errors import suggest

Options = dict[str, Any]


class Launch(Settings):
    """In how many processes a run trains.

    `config` is a file of `accelerate launch`; without one the processes are torchrun's.
    """

    num_processes: Count = 1
    config: str | None = None


class OwnTraining(Settings):
    """What this project adds to TrainingArguments.

    `loss_on` tells which tokens count. `packing: concat` strings rows together into sequences of
    `packing_length` tokens, through which attention runs freely, as TRL's packing did when the
    published studies used it.
    """

    loss_on: Literal["completion", "all"] = "completion"
    packing: Literal[False, "concat"] = False
    packing_length: Count = 512
    launch: Launch | None = None

    @classmethod
    def part(cls, settings: Options) -> tuple[OwnTraining, Options]:
        """A run's training settings, in this project's own and those of TrainingArguments."""
        own = {key: value for key, value in settings.items() if key in cls.model_fields}
        return cls(**own), {key: value for key, value in settings.items() if key not in own}


MANAGED_TRAINING_FIELDS = {
    "output_dir": "each run has its own folder",
    "seed": "seeds are an axis: grid.seeds",
    "data_seed": "seeds are an axis: grid.seeds",
    "resume_from_checkpoint": "a killed run resumes by itself",
}


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


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ValueError("\n".join(faults))


def _option_faults(value: Options, fields: Mapping[str, Any]) -> list[str]:
    faults = []
    for key, given in value.items():
        if key not in fields:
            faults.append(f"{key}: unknown key; {suggest(key, fields)}")
        elif not library.accepts(fields[key], given):
            faults.append(f"{key}: {given!r} is not of type {library.type_name(fields[key])}")
    return faults


def _training(value: Options) -> Options:
    faults = [
        f"{key}: cannot be set here; {reason}"
        for key, reason in MANAGED_TRAINING_FIELDS.items()
        if key in value
    ]
    own = OwnTraining.model_fields
    try:
        OwnTraining(**{key: value[key] for key in value if key in own})
    except ValidationError as error:
        faults += [_own_fault(detail) for detail in error.errors()]
    rest = {key: value[key] for key in value if key not in {*own, *MANAGED_TRAINING_FIELDS}}
    known = {**library.training_fields(), **own}
    _refuse(faults + _option_faults(rest, known))
    return value


def _own_fault(detail: ErrorDetails) -> str:
    key, given = ".".join(map(str, detail["loc"])), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; {suggest(detail['loc'][-1], Launch.model_fields)}"
    if detail["type"] == "model_type":
        return f"{key}: {given!r} is no mapping; write {{num_processes: 2}}"
    if detail["type"] == "literal_error":
        choices = detail["ctx"]["expected"].replace("'", "").replace("False", "false").split(" or ")
        return f"{key}: {given!r} is unknown; {suggest(given, choices)}"
    return f"{key}: {given!r} {detail['msg'].replace('Input should', 'should')}"


def _generation(value: Options) -> Options:
    known = library.generation_fields()
    _refuse([f"{key}: unknown key; {suggest(key, known)}" for key in value if key not in known])
    return value


def _adapter(value: Options) -> Options:
    known = library.peft_types()
    peft_type = str(value.get("peft_type"))
    if peft_type not in known:
        hint = suggest(peft_type, known)
        raise ValueError(f"peft_type: {value.get('peft_type')!r} is no PEFT method; {hint}")
    _refuse(_option_faults(value, library.peft_fields(peft_type)))
    return value


# fields of transformers.TrainingArguments, and this project's own
Training = Annotated[Options, AfterValidator(_training)]
# fields of transformers.GenerationConfig
Generation = Annotated[Options, AfterValidator(_generation)]
# a PEFT configuration, as adapter_config.json holds it
Adapter = Annotated[Options, AfterValidator(_adapter)]
