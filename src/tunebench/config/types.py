"""What a library's field takes, and what is wrong with a YAML value that it is given."""

from __future__ import annotations

import ast
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
    "tuple": (list,),  # which YAML has not
}


@dataclass(frozen=True)
class Type:
    """A field's type: names of KINDS, and what strings, lists and mappings may hold.

    Without `kinds` the annotation tells nothing that YAML could be held against, and all is taken.
    """

    kinds: frozenset[str] = frozenset()
    none: bool = False
    words: tuple[str, ...] = ()  # all strings that are taken; empty where any is
    items: Type | None = None  # of a list
    values: Type | None = None  # of a mapping whose keys are free
    fields: Mapping[str, Type] | None = None  # of a mapping whose keys the library names

    def __str__(self) -> str:
        return " | ".join(kind for kind in KINDS if kind in self.kinds)

    def takes(self, value: object) -> bool:
        """Whether the value itself fits, whatever it holds."""
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
    """A class's fields by name; what each takes is found out where it is asked for."""

    def __init__(
        self,
        annotations: source.Annotations,
        paths: Path | Mapping[str, Path],
        known: Mapping[str, Type] | None = None,
    ) -> None:
        """Annotations as the files where they stand understand them; `known` types precede them."""
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
    """What an annotation takes; names that are not Python's own are looked up from the file."""
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
        case ast.Call(func=ast.Name(id="tuple")):  # as some docstrings write it
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
    """An enumeration, a dataclass or an alias of the library."""
    found = source.find(path, name)
    if found is None:
        aliased = source.alias(path, name)
        return of(aliased, path) if aliased else ANYTHING
    where, cls = found
    if any(ast.unparse(base).endswith("Enum") for base in cls.bases):
        return Type(frozenset(["str"]), words=tuple(source.members(cls)))
    fields = source.dataclass_fields(cls)
    return Type(frozenset(["dict"]), fields=Fields(fields, where)) if fields else ANYTHING


def _either(options: list[Type]) -> Type:
    """A union: an enumeration's words hold even beside `str`, as `SchedulerType | str` means."""
    known = [each for each in options if each.kinds or each.none]
    words = tuple(word for each in known for word in each.words)
    return Type(
        frozenset().union(*(each.kinds for each in known)),
        none=any(each.none for each in known),
        words=words,
        items=next((each.items for each in known if each.items), None),
        values=next((each.values for each in known if each.values), None),
        fields=next((each.fields for each in known if each.fields is not None), None),
    )


def faults(place: str, value: object, wanted: Type) -> list[str]:
    """What is wrong with a value, each line with its place."""
    if not wanted.kinds:
        return []
    if not wanted.takes(value):
        if wanted.words and wanted.kinds <= {"str", "bool"}:
            return [f"{place}: {value!r} is unknown; {suggest(value, wanted.words)}"]
        return [f"{place}: {value!r} is not of type {wanted}"]
    if isinstance(value, str) and wanted.words and not wanted.spells(value):
        return [f"{place}: {value!r} is unknown; {suggest(value, wanted.words)}"]
    if isinstance(value, list) and wanted.items:
        listed = [(f"{place}[{index}]", each) for index, each in enumerate(value)]
        return [line for at, each in listed for line in faults(at, each, wanted.items)]
    if isinstance(value, dict) and wanted.fields is not None:
        return [f"{place}.{line}" for line in faults_of_mapping(value, wanted.fields)]
    if isinstance(value, dict) and wanted.values:
        named = [(f"{place}.{key}", each) for key, each in value.items()]
        return [line for at, each in named for line in faults(at, each, wanted.values)]
    return []


def faults_of_mapping(value: Mapping[Any, Any], fields: Mapping[str, Type]) -> list[str]:
    """What is wrong with a mapping: keys that the library has not, values that it cannot take."""
    found = []
    for key, given in value.items():
        if key in fields:
            found += faults(str(key), given, fields[key])
        else:
            found.append(f"{key}: unknown key; {suggest(key, fields)}")
    return found


def refuse(found: list[str]) -> None:
    """Raise with all faults, where there are any."""
    if found:
        raise ValueError("\n".join(dict.fromkeys(found)))


def with_floats(value: Mapping[str, Any], fields: Mapping[str, Type]) -> dict[str, Any]:
    """The mapping with `2` as `2.0` where only a float is meant.

    transformers refuses `temperature: 2` and `repetition_penalty: 2` when it comes to write.
    """
    return {
        key: float(given) if type(given) is int and _only_float(fields[key]) else given
        for key, given in value.items()
    }


def _only_float(wanted: Type) -> bool:
    return "float" in wanted.kinds and "int" not in wanted.kinds
