"""docs/params.md, made from the schema: python -m tunebench.config.reference > docs/params.md."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunebench.config import data, inference, schema
from tunebench.config.adapter_options import REFUSED_FIELDS, UNTRAINABLE_PEFT_TYPES
from tunebench.config.base import Name, TrainSize
from tunebench.config.generation_options import REFUSED
from tunebench.config.library import peft_types
from tunebench.config.options import (
    Adapter,
    Generation,
    Options,
    OwnTraining,
    Search,
    Training,
)
from tunebench.config.quantization import RECIPES, Quantization
from tunebench.config.training_values import MANAGED_TRAINING_FIELDS

HEAD = """\
# params.yaml

`grid` lists the names that run; the other sections define them, and may define many more. Unknown
keys are refused. `2e-4` is a number (YAML 1.2). Settings that belong to a library keep the
library's own names, so its documentation is their manual; `check` holds them to the installed
version.

This page is generated from the schema by `make docs`: edit the descriptions in
`src/tunebench/config`.
"""

HUB_DOCS = "https://huggingface.co/docs"
LIBRARY_CLASSES = {
    "TrainingArguments": f"{HUB_DOCS}/transformers/main_classes/trainer",
    "GenerationConfig": f"{HUB_DOCS}/transformers/main_classes/text_generation",
    "BitsAndBytesConfig": f"{HUB_DOCS}/transformers/main_classes/quantization",
    "PEFT configuration": f"{HUB_DOCS}/peft/package_reference/config",
}


def _linked(name: str) -> str:
    shown = name if " " in name else f"`{name}`"
    return f"[{shown}]({LIBRARY_CLASSES[name]})"


@dataclass(frozen=True)
class Section:
    """One table of the page: a class of the schema, and its place in params.yaml."""

    place: str
    settings: type[BaseModel]
    about: str = ""  # in addition to the class's docstring

    @property
    def title(self) -> str:
        """The place as a heading: as code, so that angle brackets are not read as HTML."""
        return ", ".join(f"`{part}`" for part in self.place.split(", "))

    @property
    def anchor(self) -> str:
        """The heading's anchor, on Git hosts and in mkdocs."""
        return re.sub(r"[^\w\s-]", "", self.place).replace(" ", "-").lower()

    def fields(self) -> dict[str, FieldInfo]:
        """A class's own fields, then inherited ones."""
        all_fields = self.settings.model_fields
        order = [
            name
            for cls in self.settings.__mro__
            for name in vars(cls).get("__annotations__", {})
            if name in all_fields
        ]
        return {name: all_fields[name] for name in order}


@cache
def sections() -> list[Section]:
    """Every section of params.yaml, each before those within it."""
    return list(_within("", schema.Params))


def _within(place: str, settings: type[BaseModel]) -> Iterator[Section]:
    hints = get_type_hints(settings, include_extras=True)
    for name in Section(place, settings).fields():
        inner = f"{place}.{name}" if place else name
        if inner == "training":  # a mapping, since its other keys are transformers'
            yield from _section(inner, OwnTraining)
        else:
            yield from _of_type(inner, hints[name])


def _of_type(place: str, hint: Any) -> Iterator[Section]:
    """The sections within a field of this type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from _of_type(place, arguments[0])
    elif origin is list:
        yield from _of_type(f"{place}[]", arguments[0])
    elif origin is dict:
        letter = place.rpartition(".")[2][0]
        yield from _of_type(f"{place}.<{letter}>", arguments[1])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _of_type(place, argument)
    elif isinstance(hint, type) and issubclass(hint, BaseModel):
        kind = get_args(hint.model_fields["kind"].annotation) if "kind" in hint.model_fields else ()
        yield from _section(", kind: ".join([place, *kind]), hint)


def _section(place: str, settings: type[BaseModel]) -> Iterator[Section]:
    about = _about().get(settings, "")
    yield Section(place, settings, about)
    yield from _within(place, settings)


def _about() -> dict[type[BaseModel], str]:
    """Additional text about sections with keys of a library."""
    return {
        schema.PeftMethod: _about_adapters(),
        OwnTraining: _about_training(),
        schema.Evaluation: _about_generation(),
    }


def _about_adapters() -> str:
    types_known = sorted(peft_types() - set(UNTRAINABLE_PEFT_TYPES))
    return (
        f"`adapter` holds the keys of a {_linked('PEFT configuration')}. `peft_type` is one of"
        f" {_listed(types_known)}. Refused: {_reasons(REFUSED_FIELDS)}.\n\n"
        f"`quantization` is {_either(RECIPES)}, or fields of {_linked('BitsAndBytesConfig')}."
    )


def _about_training() -> str:
    return (
        "Each run takes these, overridden key by key by `datasets.<d>.training`, then by"
        f" `methods.<m>.training`. Refused: {_reasons(MANAGED_TRAINING_FIELDS)}.\n\n"
        f"Keys of {_linked('TrainingArguments')}, and these:"
    )


def _about_generation() -> str:
    return (
        f"`generation` holds fields of {_linked('GenerationConfig')}. Without `max_new_tokens` an"
        " answer may be as long as 99% of the training answers. Refused, and `check` says why:"
        f" {_listed(sorted(REFUSED))}."
    )


def _reasons(refused: Mapping[str, str]) -> str:
    reasons: dict[str, list[str]] = {}
    for key, reason in refused.items():
        reasons.setdefault(reason, []).append(key)
    return "; ".join(f"{_listed(keys)} ({reason})" for reason, keys in reasons.items())


def page() -> str:
    """The text of docs/params.md."""
    top = Section("top", schema.Params)
    lines = [HEAD, *_table(top)]
    for section in sections():
        lines += ["", f"## {section.title}", "", _text(section), "", *_table(section)]
    return "\n".join(lines) + "\n"


def _text(section: Section) -> str:
    paragraphs = inspect.cleandoc(section.settings.__doc__ or "").split("\n\n")
    return "\n\n".join([*map(_one_line, paragraphs), *filter(None, [section.about])])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(section: Section) -> Iterator[str]:
    yield "| key | takes | default | description |"
    yield "|---|---|---|---|"
    hints = get_type_hints(section.settings, include_extras=True)
    for name, field in section.fields().items():
        described = _one_line(field.description or "")
        cells = (f"`{name}`", _takes(hints[name]), _default(field), described)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _takes(hint: Any) -> str:
    """A type in terms of YAML.

    >>> _takes(Annotated[int, Ge(1)]), _takes(Literal["on", True])
    ('integer ≥ 1', '`on` or `true`')
    """
    if (named := next((text for type_, text in _named() if type_ == hint), None)) is not None:
        return named
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _takes(arguments[0]) + _bounds(arguments[1:])
    if origin is Literal:
        return _either(
            [value if isinstance(value, str) else json.dumps(value) for value in arguments]
        )
    if origin in (Union, types.UnionType):
        return " or ".join(_takes(member) for member in arguments if member is not type(None))
    if origin is list:
        return f"list ({_takes(arguments[0])})"
    if origin is dict:
        return f"mapping ({_takes(arguments[0])}: {_takes(arguments[1])})"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        anchor = next(section.anchor for section in sections() if section.settings is hint)
        return f"[section](#{anchor})"
    plain = {str: "text", int: "integer", float: "number", bool: "`true` or `false`"}
    return "nothing" if hint is type(None) else plain[hint]


def _named() -> list[tuple[Any, str]]:
    """Types with a description of their own."""
    return [
        (Name, "name"),
        (TrainSize, "fraction (a float up to `1.0`) or number of rows (an integer)"),
        (Training, "[training](#training) settings"),
        (Search, "[training](#training) settings, each a list"),
        (Generation, f"{_linked('GenerationConfig')} fields"),
        (Adapter, f"{_linked('PEFT configuration')} fields"),
        (Quantization, f"{_either(RECIPES)}, or {_linked('BitsAndBytesConfig')} fields"),
        (Options, "mapping"),
        (data.Variables, "mapping"),
        (schema.Method, "[method](#methodsm-kind-prompting)"),
        (inference.Seconds, "number > 0"),
    ]


def _bounds(metadata: Iterable[Any]) -> str:
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    constraints = [
        inner
        for constraint in metadata
        for inner in (constraint.metadata if isinstance(constraint, FieldInfo) else [constraint])
    ]
    bounds = [
        f"{sign} {_number(getattr(constraint, kind.__name__.lower()))}"
        for constraint in constraints
        for kind, sign in signs.items()
        if isinstance(constraint, kind)
    ]
    return f" {', '.join(bounds)}" if bounds else ""


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e6 else f"{int(value):,}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _either(names: Iterable[str]) -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} or {last}" if first else last


if __name__ == "__main__":
    print(page(), end="")
