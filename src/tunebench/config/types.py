"""Types of a library's fields, and faults of YAML values by them."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunebench.config import source
from tunebench.errors import suggest

KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "dict": (dict,),
    "list": (list,),
    "tuple": (list,),  # YAML has no tuples
}


@dataclass(frozen=True)
class Type:
    """A field's type: names of KINDS, and constraints on strings, lists and mappings.

    Without `kinds` the annotation does not say what YAML values are valid, so all are accepted.
    """

    kinds: frozenset[str] = frozenset()
    none: bool = False
    words: tuple[str, ...] = ()  # the valid strings; empty if any is
    items: Type | None = None  # of a list
    values: Type | None = None  # of a mapping with arbitrary keys
    fields: Mapping[str, Type] | None = None  # of a mapping with the library's keys

    def __str__(self) -> str:
        return " | ".join(kind for kind in KINDS if kind in self.kinds)

    def takes(self, value: object) -> bool:
        """Whether the value itself has this type, regardless of its items."""
        if value is None:
            return self.none
        if isinstance(value, bool):  # which Python counts as an int
            return "bool" in self.kinds
        return any(isinstance(value, KINDS[kind]) for kind in self.kinds)

    def spells(self, value: str) -> bool:
        """Whether this is one of the words; `[…]` in a word stands for a number."""
        return any(_spells(word, value) for word in self.words)


ANYTHING = Type()


def _spells(word: str, value: str) -> bool:
    pattern = r"\d+".join(re.escape(part) for part in re.split(r"\[.*?\]", word))
    return re.fullmatch(pattern, value) is not None


class Fields(Mapping[str, Type]):
    """A class's fields and their types, which are resolved lazily."""

    def __init__(
        self,
        annotations: source.Annotations,
        paths: Path | Mapping[str, Path],
        known: Mapping[str, Type] | None = None,
    ) -> None:
        """Annotations, resolved in the files at `paths`; `known` types take precedence."""
        self._annotations, self._paths = annotations, paths
        self._types = dict(known or {})

    def __getitem__(self, name: str) -> Type:
        if name not in self._types:
            paths = self._paths
            path = paths if isinstance(paths, Path) else paths[name]
            self._types[name] = of(self._annotations[name], path)
        return self._types[name]

    def __contains__(self, name: object) -> bool:
        return name in self._annotations

    def __iter__(self) -> Iterator[str]:
        return iter(self._annotations)

    def __len__(self) -> int:
        return len(self._annotations)


def of(annotation: ast.expr | None, path: Path) -> Type:
    """The type of an annotation; names that are not built in are resolved in the file."""
    match annotation:
        case ast.Constant(value=None):
            return Type(none=True)
        case ast.Constant(value=str(text)):  # an annotation in quotes
            return of(ast.parse(text, mode="eval").body, path)
        case ast.Name(id=name) if name in KINDS:
            return Type(frozenset([name]))
        case ast.Name(id=name):
            return _named(path, name)
        case ast.BinOp(left=left, right=right):
            return _either([of(left, path), of(right, path)])
        case ast.Call(func=ast.Name(id="tuple")):  # in some docstrings
            return Type(frozenset(["tuple"]))
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _subscript(name, inner, path)
    return ANYTHING


def _subscript(name: str, inner: ast.expr, path: Path) -> Type:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name.lower():
        case "optional":
            return replace(of(inner, path), none=True)
        case "union":
            return _either([of(part, path) for part in parts])
        case "literal":
            return _literal([part.value for part in parts if isinstance(part, ast.Constant)])
        case "list":
            return Type(frozenset(["list"]), items=of(inner, path))
        case "dict":
            return Type(frozenset(["dict"]), values=of(parts[-1], path))
        case "tuple":
            return Type(frozenset(["tuple"]))
    return ANYTHING


def _literal(values: list[Any]) -> Type:
    kinds = frozenset(type(value).__name__ for value in values if value is not None)
    words = tuple(value for value in values if isinstance(value, str))
    return Type(kinds, none=None in values, words=words)


def _named(path: Path, name: str) -> Type:
    """The type of a name that is an enumeration, a dataclass or an alias."""
    located = source.find(path, name)
    if located is None:
        aliased = source.alias(path, name)
        return of(aliased, path) if aliased else ANYTHING
    source_path, cls = located
    if any(ast.unparse(base).endswith("Enum") for base in cls.bases):
        return Type(frozenset(["str"]), words=tuple(source.members(cls)))
    fields = source.dataclass_fields(cls)
    return Type(frozenset(["dict"]), fields=Fields(fields, source_path)) if fields else ANYTHING


def _either(options: list[Type]) -> Type:
    """A union; an enumeration's words are kept even with `str`, as in `SchedulerType | str`."""
    concrete = [option for option in options if option.kinds or option.none]
    words = tuple(word for option in concrete for word in option.words)
    return Type(
        frozenset().union(*(option.kinds for option in concrete)),
        none=any(option.none for option in concrete),
        words=words,
        items=next((option.items for option in concrete if option.items), None),
        values=next((option.values for option in concrete if option.values), None),
        fields=next((option.fields for option in concrete if option.fields is not None), None),
    )


def faults(place: str, value: object, expected: Type) -> list[str]:
    """Faults of a value, each as a line with its place."""
    if not expected.kinds:
        return []
    if not expected.takes(value):
        if expected.words and expected.kinds <= {"str", "bool"}:
            return [f"{place}: {value!r} is unknown; {suggest(value, expected.words)}"]
        return [f"{place}: {value!r} is not of type {expected}"]
    if isinstance(value, str) and expected.words and not expected.spells(value):
        return [f"{place}: {value!r} is unknown; {suggest(value, expected.words)}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{place}: {value!r} is no finite number"]
    if isinstance(value, list) and expected.items:
        listed = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        return [
            line for item_place, item in listed for line in faults(item_place, item, expected.items)
        ]
    if isinstance(value, dict) and expected.fields is not None:
        return [f"{place}.{line}" for line in faults_of_mapping(value, expected.fields)]
    if isinstance(value, dict) and expected.values:
        named = [(f"{place}.{key}", item) for key, item in value.items()]
        return [
            line for item_place, item in named for line in faults(item_place, item, expected.values)
        ]
    return []


def faults_of_mapping(value: Mapping[Any, Any], fields: Mapping[str, Type]) -> list[str]:
    """Faults of a mapping: unknown keys and invalid values."""
    lines = []
    for key, item in value.items():
        if key in fields:
            lines += faults(str(key), item, fields[key])
        else:
            lines.append(f"{key}: unknown key; {suggest(key, fields)}")
    return lines


def refuse(lines: list[str]) -> None:
    """Raise a ValueError with all faults, if there are any."""
    if lines:
        raise ValueError("\n".join(dict.fromkeys(lines)))


def with_floats(value: Mapping[str, Any], fields: Mapping[str, Type]) -> dict[str, Any]:
    """The mapping with integers as floats in fields that are floats.

    transformers refuses `temperature: 2` and `repetition_penalty: 2` at generation time.
    """
    return {
        key: float(item) if type(item) is int and _only_float(fields[key]) else item
        for key, item in value.items()
    }


def _only_float(type_: Type) -> bool:
    return "float" in type_.kinds and "int" not in type_.kinds
