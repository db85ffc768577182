"""A source's rows to text rows: cells checked, labels named, dropped rows counted."""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tunebench.config.data import Dataset
from tunebench.data.sources.rows import Row
from tunebench.data.sources.spelling import look_alikes, normal, quoted, tidy
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError, suggest

LISTED_GROUPS = 50  # groups of look-alike labels in one message


@dataclass
class SplitIndex:
    """What is kept in memory of a split's rows, twelve bytes each.

    `labels` has each row's label as its number in `Cleaner.labels` (summaries: 0); `inputs` has a
    64-bit hash of the text that a prompt can show. Among ten million rows, two different texts
    collide with a probability of 3 in a million.
    """

    labels: array[int] = field(default_factory=lambda: array("i"))
    inputs: array[int] = field(default_factory=lambda: array("Q"))


@dataclass
class Cleaner:
    """Turns rows of one data set into text rows, and counts those that it drops.

    `source_names` are the source's own label names, used if the data set's entry gives none.
    `labels` numbers the labels in order of appearance, `spellings` counts each spelling in the
    rows, `dropped` counts rows by split and reason.
    """

    dataset: Dataset
    source_names: Mapping[str, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    spellings: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        label_names = self.dataset.label_names
        table = dict(enumerate(label_names)) if isinstance(label_names, list) else label_names
        names = self.source_names if table is None else table
        self.as_written = self.dataset.labels == "as_written"
        self.names = _unique_names(names, form=str)
        self._by_form = {} if self.as_written else _unique_names(names, form=normal)
        self._known: dict[str, str] = {}  # spelling → label
        self._first: dict[str, str] = {}  # normal form → label
        columns = self.dataset.columns
        self.columns = {"text": columns.text, "target": self.dataset.target, **columns.further}

    def unanswered(self, source: Iterable[Row], *, id_column: str | None) -> Iterator[TextRow]:
        """Rows to be answered: `target` is empty, and texts may be.

        Args:
            id_column: the column with each row's id; its number, from 1, if None.

        Raises:
            SourceError: for a missing column, or a cell that is no text.
        """
        columns = {name: column for name, column in self.columns.items() if name != "target"}
        columns |= {} if id_column is None else {"id": id_column}
        for number, (place, cells) in enumerate(source, start=1):
            row = {"id": str(number), "target": ""}
            row |= {name: self._cell(cells, column, place) for name, column in columns.items()}
            _digest(row, place)
            yield row

    def rows(self, split: str, source: Iterable[Row], index: SplitIndex) -> Iterator[TextRow]:
        """The split's text rows, each added to `index`.

        Raises:
            SourceError: for a missing column, a cell that is empty or no text, a label without a
                name, a split without rows.
        """
        number, labelled = -1, self.dataset.labelled
        for number, (place, cells) in enumerate(source):
            row = {"id": f"{split}-{number}"}
            for name, column in self.columns.items():
                row[name] = self._cell(cells, column, place)
            missing = None if row["text"].strip() else "text"
            if missing is None:
                if labelled and row["target"]:
                    row["target"] = self._label(cells[self.dataset.target], place)
                missing = None if row["target"].strip() else "target"
            if missing:
                self._drop(split, self.columns[missing], place)
                continue
            if labelled:
                index.labels.append(self.labels.setdefault(row["target"], len(self.labels)))
            else:
                index.labels.append(0)
            index.inputs.append(_digest(row, place))
            yield row
        if not index.labels:
            reason = f" left of {number + 1}: a text or an answer is empty in each" * (number >= 0)
            raise SourceError(f"the {split} rows: there are none{reason}")

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
            columns = map(str, row)
            raise SourceError(
                f"{place}: there is no column {column!r}; {suggest(column, columns)}"
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
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            raise SourceError(
                f"{place}: {column!r} holds a number of more than"
                f" {sys.get_int_max_str_digits()} digits; write it as a text"
            ) from None

    def _label(self, value: Any, place: str) -> str:
        """A cell's label, whose spelling is counted; empty if it has no visible character."""
        is_text = type(value) is str
        spelling = value if is_text else str(value).lower() if type(value) is bool else str(value)
        label = self._known.get(spelling)
        if label is None:
            label = self._known[spelling] = self._named(spelling, place, not is_text)
            self.spellings[spelling] = 0
        self.spellings[spelling] += 1
        return label

    def _named(self, spelling: str, place: str, number: bool) -> str:
        text, form = spelling.strip(), normal(spelling)
        if not form:
            return ""
        if not self.names:
            if self.as_written:
                return text
            # the JSON number 1.0 is read as 1; the text "1.0" is kept as it is
            return self._first.setdefault(form, form if number else tidy(spelling))
        if text in self.names:
            return self.names[text]
        for variant in _variants(text) if self.as_written else (form, *_variants(form)):
            name = self._by_form.get(variant, self.names.get(variant))
            if name is not None:
                return name
        # the cells may contain the names themselves
        own_names = {name: name for name in self.names.values()}
        if not self.as_written:
            own_names = {normal(name): name for name in own_names} | own_names
        if (
            name := own_names.get(text, own_names.get(text if self.as_written else form))
        ) is not None:
            return name
        raise SourceError(
            f"{place}: label {text!r} has no label_names; {suggest(text, self.names)}"
        )

    def spellings_by_label(self) -> dict[str, dict[str, int]]:
        """Label → the count of each of its spellings, for labels that have several."""
        counts_by_form: dict[tuple[str, str], dict[str, int]] = {}
        for spelling, count in sorted(self.spellings.items()):
            if not self._known[spelling]:
                continue
            form = spelling.strip() if self.as_written else normal(spelling)
            counts_by_form.setdefault((self._known[spelling], form), {})[spelling] = count
        several: dict[str, dict[str, int]] = {}
        for (label, _), counts in sorted(counts_by_form.items()):
            if len(counts) > 1:
                several.setdefault(label, {}).update(counts)
        return several

    def check_look_alikes(self) -> None:
        """Refuse look-alike labels, unless the data set's entry names its labels.

        Raises:
            SourceError: with each group of them, and how many rows each label has.
        """
        if self.names or self.as_written:
            return
        groups = look_alikes(self.labels)
        if not groups:
            return
        rows: Counter[str] = Counter()
        for spelling, count in self.spellings.items():
            rows[self._known[spelling]] += count
        listed = "; ".join(
            " and ".join(f"{quoted(label, group)} ({rows[label]} rows)" for label in group)
            for group in groups[:LISTED_GROUPS]
        )
        rest = f"; and {len(groups) - LISTED_GROUPS} more" if len(groups) > LISTED_GROUPS else ""
        label = self.dataset.target
        raise SourceError(
            f"labels of {label!r} read alike: {listed}{rest}; if they are the same, mend the rows,"
            " or give each label of the data set its name in label_names, these the same; if they"
            " are not, write labels: as_written"
        )


def _unique_names(names: Mapping[Any, str], form: Callable[[str], str]) -> dict[str, str]:
    """A label's normal form → its name.

    Raises:
        SourceError: if two labels have the same form and different names.
    """
    keys: dict[str, Any] = {}
    for key, name in names.items():
        other = keys.setdefault(form(str(key)), key)
        if names[other] != name:
            raise SourceError(
                f"label_names: {other!r} and {key!r} are one label, and have the names"
                f" {names[other]!r} and {name!r}; keep one of them"
                + ("" if form is str else ", or write labels: as_written")
            )
    return {spelled: names[key] for spelled, key in keys.items()}


def _variants(label: str) -> Iterator[str]:
    """Other spellings of the same label: how programs write integers and booleans.

    >>> list(_forms("1.0")), list(_forms("true"))
    (['1'], ['true', 'True', 'TRUE', '1'])
    """
    if (whole := normal(label)) != label and label.isascii():
        yield whole  # as pandas writes a column of integers with missing values
    if label.lower() in ("true", "false"):
        yield from (label.lower(), label.capitalize(), label.upper())
        yield str(int(label.lower() == "true"))


def _digest(row: TextRow, place: str) -> int:
    """A 64-bit hash of all text of a row that a prompt can show."""
    prompt_text = "\0".join(value for name, value in row.items() if name not in ("id", "target"))
    try:
        row["target"].encode()
        return int.from_bytes(blake2b(prompt_text.encode(), digest_size=8).digest(), "little")
    except UnicodeEncodeError as error:
        raise SourceError(
            f"{place}: holds half of a character, {error.object[error.start]!r}; write it whole"
        ) from None
