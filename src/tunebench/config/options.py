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

    `loss_on` tells which tokens count. `packing: true` puts several whole rows into one sequence of
    up to `packing_length` tokens, each keeping its attention and its positions to itself.
    `packing: concat` strings rows together into sequences of just that many, through which
    attention runs freely, as TRL's packing did when the published studies used it.
    """

    loss_on: Literal["completion", "all"] = "completion"
    packing: Literal[False, True, "concat"] = False
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


# of all that PEFT registers, what can not be trained on one data set of prompts and completions
UNTRAINABLE_PEFT_TYPES = {
    "MULTITASK_PROMPT_TUNING": "each row must name its task, and a run has one; use PROMPT_TUNING",
    "POLY": "each row must name its task, and a run has one; use LORA",
    "XLORA": "it mixes adapters that are trained already; use LORA",
}
# initial weights that PEFT draws from data, by a call of its own before training
INITS_FROM_DATA = ("corda", "eva", "lora_ga")


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


def _search(value: dict[str, Any]) -> dict[str, list[Any]]:
    faults = []
    for key, listed in value.items():
        if not isinstance(listed, list) or not listed:
            faults.append(f"{key}: {listed!r} is no list of values to try; write [1e-4, 1e-3]")
            continue
        for given in listed:
            try:
                _training({key: given})
            except ValueError as error:
                faults += str(error).splitlines()
    _refuse(list(dict.fromkeys(faults)))
    return value


def _own_fault(detail: ErrorDetails) -> str:
    key, given = ".".join(map(str, detail["loc"])), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; {suggest(detail['loc'][-1], Launch.model_fields)}"
    if detail["type"] == "model_type":
        return f"{key}: {given!r} is no mapping; write {{num_processes: 2}}"
    if detail["type"] == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        choices = expected.replace("False", "false").replace("True", "true").split(", ")
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
    _refuse(_option_faults(value, library.peft_fields(peft_type)) + _adapter_faults(value))
    return value


def _adapter_faults(value: Options) -> list[str]:
    """What PEFT takes, and then trains nothing, or something else than what is asked."""
    faults = []
    if reason := UNTRAINABLE_PEFT_TYPES.get(value["peft_type"]):
        faults.append(f"peft_type: {value['peft_type']!r} can not be trained here: {reason}")
    if value.get("task_type") not in (None, "CAUSAL_LM"):
        task = value["task_type"]
        faults.append(f"task_type: {task!r} is not what is trained here; remove it")
    if value.get("inference_mode"):
        faults.append("inference_mode: true trains nothing; remove it")
    init = value.get("init_lora_weights")
    if isinstance(init, str) and init.startswith(INITS_FROM_DATA):
        faults.append(
            f"init_lora_weights: {init!r} is computed from data before training, which is not done"
            " here; remove it, or choose pissa or olora"
        )
    if value.get("use_asa"):
        faults.append("use_asa: what it measures is lost in a restart; use ADALORA")
    types = value.get("cpt_tokens_type_mask")
    if isinstance(types, list) and types and max(types) % 4:
        faults.append(
            f"cpt_tokens_type_mask: ends in type {max(types)}, where a multiple of 4 (an answer)"
            " must be: no token of the rows would count in the loss"
        )
    return faults


# fields of transformers.TrainingArguments, and this project's own
Training = Annotated[Options, AfterValidator(_training)]
# training settings, each with the values to try
Search = Annotated[dict[str, Any], AfterValidator(_search)]
# fields of transformers.GenerationConfig
Generation = Annotated[Options, AfterValidator(_generation)]
# a PEFT configuration, as adapter_config.json holds it
Adapter = Annotated[Options, AfterValidator(_adapter)]
