"""params.yaml, validated: `load` returns it as frozen objects or reports every fault.

- `schema`, `data`, `baselines`, `inference`: the sections
- `timed`: how requests are answered while they are timed
- `reference`: `docs/params.md`, generated from them
- `yaml_file`, `secrets`: the file itself, and what it must not hold
- `base`, `options`, `quantization`, `loading`, `types`: the types of values
- `ranges`, `training_values`, `adapter_ranges`: values of the right type that fail later
- `references`, `combinations`, `training_combinations`: names that must exist, settings that
  exclude each other
- `machine`: packages and devices that this machine lacks; for `check` only
- `library`, `source`, `trainer_fields`, `generation_options`, `adapter_options`: fields that the
  installed libraries accept, read from their source to avoid slow imports
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunebench import paths
from tunebench.config import (
    baselines,
    combinations,
    data,
    inference,
    references,
    schema,
    secrets,
    yaml_file,
)
from tunebench.config.schema import Params
from tunebench.errors import ParameterError, suggest

# keys that must be written, as DVC fails without them: an empty value, and what it stands for
EMPTY = {
    "training": ("{}", "the defaults"),
    "load_test": ("{tuning: [], prompting: []}", "none"),
    **dict.fromkeys(("prompting", "tuning", "train_sizes", "seeds"), ("[]", "none")),
}


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check a parameter file.

    Raises:
        ParameterError: with a line for every fault: its place, the culprit, the choices.
    """
    return checked(yaml_file.read(path), path)


def checked(content: Any, path: Path = paths.PARAMS) -> Params:
    """The parameters of a parsed file, as `load` returns or refuses them."""
    lines, params = _faults(content)
    if lines or params is None:
        raise ParameterError([f"{path}: {line}" for line in lines])
    return params


def _faults(raw: Any) -> tuple[list[str], Params | None]:
    """A line for each fault of a parsed file, and the parameters if they are valid."""
    lines, params = list(references.faults(raw)), None
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        lines = [line for detail in error.errors() for line in _describe(detail, raw)] + lines
    for place, value in yaml_file.infinite(raw):  # of settings that no schema knows
        if not any(line.startswith(f"{place}: ") for line in lines):
            lines.append(f"{place}: {value!r} is no finite number")
    if params and not lines:
        lines = list(combinations.faults(params))
    for place, fault in secrets.faults(raw):
        if not any("secret" in line and place.startswith(line.split(": ")[0]) for line in lines):
            lines.append(f"{place}: {fault}")
    lines = [" ".join(line.splitlines()) for line in secrets.hidden(lines, raw)]
    return list(dict.fromkeys(lines)), params


def _place(location: tuple[int | str, ...], raw: Any) -> str:
    """`grid.tuning[1]` for ('grid', 'tuning', 1), without the union tags that pydantic adds."""
    place, node = "", raw
    for part in location:
        if isinstance(node, Mapping) and isinstance(part, str):
            if part not in node and part != location[-1]:
                continue
            node = node.get(part)
            place += f".{part}" if place else part
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part] if part < len(node) else None
            place += f"[{part}]"
    return place or "the file"


def _describe(detail: ErrorDetails, raw: Any) -> list[str]:
    place = _place(detail["loc"], raw)
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            hint = suggest(detail["loc"][-1], _siblings(detail["loc"]))
            return [f"{place}: unknown key; {hint}"]
        case "missing":
            key = detail["loc"][-1]
            empty = EMPTY.get(str(key))
            remedy = f"; write `{key}: {empty[0]}` for {empty[1]}" if empty else ""
            return [f"{place}: is missing{remedy}"]
        case "union_tag_invalid":
            choices = re.findall(r"'(\w+)'", str(context["expected_tags"]))
            hint = suggest(context["tag"], choices)
            return [f"{place}.kind: {context['tag']!r} is unknown; {hint}"]
        case "union_tag_not_found":
            kinds = ", ".join(sorted(references.AXES))
            return [f"{place}.kind: is missing; choose from: {kinds}"]
        case "literal_error":
            choices = re.findall(r"'([^']+)'", context["expected"])
            return [f"{place}: {value!r} is unknown; {suggest(value, choices)}"]
        case "too_short":
            return [f"{place}: is empty; name at least one"]
        case "value_error":
            lines = str(context["error"]).splitlines()
            return [_join(place, line) for line in lines]
    expected = re.sub(r"^\w+ should", "should", detail["msg"])
    return [f"{place}: {value!r} {expected}"]


def _join(place: str, line: str) -> str:
    """Put a place before a message, which may itself start with a key below that place."""
    return f"{place}.{line}" if re.match(r"[\w.\[\]]+: ", line) else f"{place}: {line}"


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the section that has an unknown key."""
    sections: dict[str, type[BaseModel]] = {
        "grid": schema.Grid,
        "models": schema.Model,
        "datasets": data.Columns if "columns" in location else data.Dataset,
        "templates": data.Message if "messages" in location else data.Template,
        "prompting": schema.PromptingMethod,
        "peft": schema.PeftMethod,
        "full": schema.FullMethod,
        **baselines.BASELINES,
        "evaluation": schema.Evaluation,
        "inference": inference.Inference,
        "hardware": schema.Hardware,
        "published": schema.Published,
        "cost": schema.Cost,
    }
    # a method's kind is third in its location: ('methods', 'qlora', 'peft', 'quantisation')
    name = location[2] if location[0] == "methods" else location[0]
    inner_sections: dict[tuple[int | str, ...], type[BaseModel]] = {
        ("evaluation", "forgetting"): schema.Forgetting,
        ("inference", "servers"): inference.Server,
        ("inference", "load_test"): inference.LoadTest,
    }
    if location[:2] in inner_sections:
        return list(inner_sections[location[:2]].model_fields)
    inner = sections.get(str(name)) if len(location) > 1 else None
    return list((inner or Params).model_fields)
