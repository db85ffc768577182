"""One column of a file: what its cells hold."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
# letters of scripts that are written without spaces: Thai, Lao, Japanese, Chinese
_DENSE = re.compile("[\u0e00-\u0eff\u3040-\u9fff]")
_BOOLEANS = {"true", "false"}


@dataclass(frozen=True)
class Column:
    """A column in the sampled rows: its cells that are not empty, and how many rows there are.

    `within` names the rows that the sample is of.
    """

    name: str
    cells: Sequence[Any]
    rows: int
    within: str = "all rows"

    @cached_property
    def values(self) -> list[str]:
        """The cells as text."""
        return [str(cell).strip() for cell in self.cells]

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(set(self.values))

    @cached_property
    def types(self) -> Counter[str]:
        """How many cells are of which type, as the file has them."""
        return Counter(map(_type, self.cells))

    @cached_property
    def kind(self) -> str:
        """`text`, `integer`, `number`, `date`, `true/false`, `mapping`, `list`, …; `mixed`, or
        `empty`."""
        if not self.cells:
            return "empty"
        if len(self.types) > 1:
            return "mixed"
        [kind] = self.types
        if kind not in ("text", "number"):
            return kind
        if all(map(_INTEGER.fullmatch, self.values)):
            return "integer"
        if all(map(_NUMBER.fullmatch, self.values)):
            return "number"
        if all(map(_DATE.fullmatch, self.values)):
            return "date"
        return "true/false" if {value.lower() for value in self.values} <= _BOOLEANS else "text"

    @cached_property
    def mean_characters(self) -> float:
        """The mean length of a value."""
        return sum(map(len, self.values)) / max(1, len(self.values))

    @cached_property
    def mean_words(self) -> float:
        """The mean number of words; a letter of a script without spaces counts as half a word."""
        words = sum(len(value.split()) for value in self.values)
        dense = sum(len(_DENSE.findall(value)) for value in self.values)
        return (words + dense / 2) / max(1, len(self.values))

    @cached_property
    def scripts(self) -> dict[str, float]:
        """The share of each script among the letters, the most frequent first."""
        return scripts(self.values)


def is_empty(cell: Any) -> bool:
    """Whether a cell counts as empty, as `download` sees it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and not cell.strip()


def scripts(texts: Iterable[str]) -> dict[str, float]:
    """The share of each script among the letters of texts, the most frequent first.

    >>> scripts(["нет", "no"])
    {'Cyrillic': 0.6, 'Latin': 0.4}
    """
    counts: Counter[str] = Counter()
    for character, count in Counter("".join(texts)).items():
        if character.isalpha():
            name = unicodedata.name(character, "OTHER").split()[0].replace("CJK", "HAN")
            counts[name.capitalize()] += count
    return {name: count / counts.total() for name, count in counts.most_common()}


def _type(cell: Any) -> str:
    match cell:
        case str():
            return "text"
        case bool():
            return "true/false"
        case int() | float():
            return "number"
        case dict():
            return "mapping"
        case list() | tuple():
            return "list"
        case bytes():
            return "bytes"
    return "date" if hasattr(cell, "isoformat") else "number"
