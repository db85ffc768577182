"""params.yaml, validated: `load` returns it as frozen objects or reports every fault.

- `schema`, `data`, `inference`: the sections
- `timed`: how requests are answered while they are timed
- `reference`: `docs/params.md`, generated from them
- `base`, `options`, `quantization`, `types`: the types of values
- `references`, `combinations`: names that must exist, settings that exclude each other
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
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tunebench import paths
from tunebench.config import combinations, data, inference, references, schema
from tunebench.config.schema import Params
from tunebench.errors import ParameterError, suggest


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check a parameter file.

    Raises:
        ParameterError: with a line for every fault: its place, the culprit, the choices.
    """
    raw = _read(path)
    faults = list(references.faults(raw))
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        validation_faults = [line for detail in error.errors() for line in _describe(detail, raw)]
        raise _error(path, validation_faults + faults) from None
    if all_faults := faults or list(combinations.faults(params)):
        raise _error(path, all_faults)
    return params


def _error(path: Path, faults: list[str]) -> ParameterError:
    return ParameterError([f"{path}: {fault}" for fault in dict.fromkeys(faults)])


def _read(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError([f"{path}: no such file; run from the repository's root"]) from None
    except UnicodeDecodeError as error:
        raise ParameterError(
            [f"{path}: byte {error.start} is not UTF-8; save it as UTF-8"]
        ) from None
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ParameterError([f"{path}: {line}{error.problem}"]) from None
    except YAMLError as error:
        raise ParameterError([f"{path}: not valid YAML: {error}"]) from None


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
            remedy = "; write `training: {}` for the defaults" if key == "training" else ""
            return [f"{place}: is missing{remedy}"]
        case "union_tag_invalid":
            choices = re.findall(r"'(\w+)'", str(context["expected_tags"]))
            hint = suggest(context["tag"], choices)
            return [f"{place}.kind: {context['tag']!r} is unknown; {hint}"]
        case "union_tag_not_found":
            return [f"{place}.kind: is missing; choose from: full, peft, prompting"]
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
