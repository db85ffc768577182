"""A source's rows to text rows: cells checked, labels named, what is missing counted."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tunebench.config.data import Dataset
from tunebench.errors import SourceError, suggest
from tunebench.sources.rows import Row
from tunebench.tables import TextRow


@dataclass
class Kept:
    """What stays in memory of a split's rows, twelve bytes each.

    `labels` holds each row's place in `Cleaner.labels` (summaries: 0); `inputs` holds 64 bits of a
    hash of what a prompt can show of it. Among ten million rows two of different texts are alike in
    it with a probability of 3 in a million.
    """

    labels: array[int] = field(default_factory=lambda: array("i"))
    inputs: array[int] = field(default_factory=lambda: array("Q"))


@dataclass
class Cleaner:
    """Turns rows of one data set into text rows, and counts what it leaves out.

    `source_names` are the label names that the source itself has, for a data set that gives none;
    `labels` numbers the labels as they come, `dropped` counts rows by split and reason.
    """

    dataset: Dataset
    source_names: Mapping[str, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        given = self.dataset.label_names
        table = dict(enumerate(given)) if isinstance(given, list) else given
        names = self.source_names if table is None else table
        self.names = {str(label): name for label, name in names.items()}
        columns = self.dataset.columns
        self.columns = {"text": columns.text, "target": self.dataset.target, **columns.further}

    def rows(self, split: str, source: Iterable[Row], kept: Kept) -> Iterator[TextRow]:
        """The split's text rows, each noted in `kept`.

        Raises:
            SourceError: for a column that is not there, a cell that is empty or no text, a label
                without a name, a split of which nothing is left.
        """
        number = -1
        for number, (place, given) in enumerate(source):
            row = {"id": f"{split}-{number}"}
            for name, column in self.columns.items():
                row[name] = self._cell(given, column, place)
            missing = next((name for name in ("text", "target") if not row[name].strip()), None)
            if missing:
                self._drop(split, self.columns[missing], place)
                continue
            if self.dataset.labelled:
                row["target"] = self._label(given[self.dataset.target], place)
                kept.labels.append(self.labels.setdefault(row["target"], len(self.labels)))
            else:
                kept.labels.append(0)
            kept.inputs.append(_digest(row, place))
            yield row
        if not kept.labels:
            why = f" left of {number + 1}: a text or an answer is empty in each" * (number >= 0)
            raise SourceError(f"the {split} rows: there are none{why}")

    def _drop(self, split: str, column: str, place: str) -> None:
        if not self.dataset.drop_empty:
            raise SourceError(
                f"{place}: {column!r} is empty; fill it in, or leave such rows out with"
                " drop_empty: true"
            )
        self.dropped[f"{split}: {column} empty"] += 1

    def _cell(self, row: dict[str, Any], column: str, place: str) -> str:
        try:
            value = row[column]
        except KeyError:
            known = map(str, row)
            raise SourceError(
                f"{place}: there is no column {column!r}; {suggest(column, known)}"
            ) from None
        if isinstance(value, str):
            return value
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, (list, tuple, dict, bytes)):
            kind = {dict: "a mapping", bytes: "bytes"}.get(type(value), "a list")
            raise SourceError(
                f"{place}: {column!r} holds {kind}, not a text; write it as one text, or name"
                " another column"
            )
        return str(value)

    def _label(self, value: Any, place: str) -> str:
        text = str(value).strip()
        if not self.names or text in self.names:
            return self.names.get(text, text)
        for spelling in _spellings(text):
            if spelling in self.names:
                return self.names[spelling]
        if text in self.names.values():  # the source has the names themselves
            return text
        raise SourceError(
            f"{place}: label {text!r} has no label_names; {suggest(text, self.names)}"
        )


def _spellings(label: str) -> Iterator[str]:
    """Other ways to write the same label: what tools make of integers and of yes and no.

    >>> list(_spellings("1.0")), list(_spellings("True"))
    (['1'], ['true', '1'])
    """
    if re.fullmatch(r"-?\d+\.0*", label):  # integers, some of them missing, as pandas writes them
        yield label.split(".")[0]
    if label.lower() in ("true", "false"):
        yield label.lower()
        yield str(int(label.lower() == "true"))


def _digest(row: TextRow, place: str) -> int:
    """64 bits of all that a prompt can show of a row."""
    shown = "\0".join(value for name, value in row.items() if name not in ("id", "target"))
    try:
        row["target"].encode()
        return int.from_bytes(blake2b(shown.encode(), digest_size=8).digest(), "little")
    except UnicodeEncodeError as error:
        raise SourceError(
            f"{place}: holds half of a character, {error.object[error.start]!r}; write it whole"
        ) from None
