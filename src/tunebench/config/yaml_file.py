"""A YAML file as mappings, lists and plain values; what later stages cannot store is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tunebench.errors import ParameterError

MAX_BYTES = 1_000_000  # parsing takes 10 s per MB
MAX_VALUES = 100_000  # with every alias written out; 14 lines of nested aliases make 10^9
MAX_DEPTH = 30
MAX_INTEGER = 2**63 - 1  # what torch, Arrow and JSON readers take

# what ruamel.yaml raises for a date 2001-99-99, `!!bool x`, `!!timestamp x`, …
BAD_VALUES = (ValueError, LookupError, AttributeError, TypeError)

Place = tuple[str | int, ...]


def read(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ParameterError: if it cannot be read or parsed, or holds what is no plain value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ParameterError([f"{path}: no such file; run from the repository's root"]) from None
    except UnicodeDecodeError as error:
        raise ParameterError(
            [f"{path}: byte {error.start} is not UTF-8; save it as UTF-8"]
        ) from None
    except OSError as error:
        raise ParameterError([f"{path}: cannot be read: {error.strerror}"]) from None
    return parsed(text, path)


def parsed(text: str, path: Path) -> Any:
    """The content of a YAML text.

    Args:
        path: the file's, for messages.

    Raises:
        ParameterError: if it cannot be parsed, or holds what is no plain value.
    """
    if len(text) > MAX_BYTES:
        fault = f"has {len(text):,} characters, and may have {MAX_BYTES:,}; keep rows in data files"
        raise ParameterError([f"{path}: {fault}"])
    content = _parsed(text, path)
    if lines := list(structural_faults(content)):
        raise ParameterError([f"{path}: {line}" for line in lines])
    return content


def _parsed(text: str, path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ParameterError([f"{path}: {line}{_one_line(error.problem)}"]) from None
    except RecursionError:
        raise ParameterError([f"{path}: is nested more than {MAX_DEPTH} levels deep"]) from None
    except (YAMLError, *BAD_VALUES) as error:
        raise ParameterError([f"{path}: not valid YAML: {_one_line(error)}"]) from None


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def values(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each value that is no mapping or list, with its place."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from values(inner, (*place, key))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from values(inner, (*place, index))
    else:
        yield place, node


def spelled(place: Place) -> str:
    """A place as in messages: `grid.tuning[1]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "the file"


def infinite(content: Any) -> Iterator[tuple[str, float]]:
    """The place of each number that is infinite or NaN."""
    for place, value in values(content):
        if isinstance(value, float) and not math.isfinite(value):
            yield spelled(place), value


def structural_faults(content: Any) -> Iterator[str]:
    """What is no plain tree of text and numbers."""
    pending: list[tuple[Place, Any, frozenset[int]]] = [((), content, frozenset())]
    count = 0
    while pending:
        place, node, around = pending.pop()
        count += 1
        if count > MAX_VALUES:
            yield f"holds more than {MAX_VALUES:,} values, aliases written out; use fewer of them"
            return
        if id(node) in around:
            yield f"{spelled(place)}: stands within itself; write it without that alias"
        elif len(around) >= MAX_DEPTH:
            yield f"{spelled(place)}: is nested more than {MAX_DEPTH} levels deep"
            return
        elif isinstance(node, dict):
            yield from _key_faults(node, place)
            within = around | {id(node)}
            # reversed, so that they are visited in the file's order
            pending += [((*place, key), node[key], within) for key in reversed(list(node))]
        elif isinstance(node, list):
            inner = list(enumerate(node))
            pending += [((*place, at), item, around | {id(node)}) for at, item in reversed(inner)]
        elif fault := _value_fault(node):
            yield f"{spelled(place)}: {fault}"


def _key_faults(node: dict[Any, Any], place: Place) -> Iterator[str]:
    for key in node:
        if type(key) not in (str, int) or _value_fault(key):
            yield f"{spelled(place)}: {key!r} is no key; write text"


def _value_fault(value: object) -> str:
    if isinstance(value, str):
        return "" if value.isascii() or _encodes(value) else "holds half a character; write it out"
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "is too large a number; at most 2^63 - 1"
    if value is None or isinstance(value, int | float):
        return ""
    kind = type(value).__name__
    return f"is of type {kind}, which no setting takes; put it in quotes to write text"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
