"""Rows of CSV and TSV files, with quotes around fields or with quotes that are text."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from tunebench.data.sources.decoding import lines
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError

# as Python's csv names them: quotes around fields that need them, or none
Quoting = Literal["minimal", "none"]
STYLES: dict[Quoting, Literal[0, 3]] = {"minimal": csv.QUOTE_MINIMAL, "none": csv.QUOTE_NONE}
MOST_SUSPECTS = 1_000
NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}


def delimiter_of(path: Path) -> str:
    """What stands between the fields of a file of this name."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def read(
    path: Path,
    encoding: str | None,
    quoting: Quoting,
    columns: Collection[str] = (),
    label: str | None = None,
) -> Iterator[Row]:
    """A file's rows, each with its line; a line with nothing on it is no row.

    Args:
        columns: those that are wanted, to tell a file that is delimited otherwise.
        label: the one by which lines that a quote swallows are known as rows; None trusts quotes.

    Raises:
        SourceError: for a row that has not the header's number of fields, quotes that do not
            close, or rows that stand within quotes.
    """
    csv.field_size_limit(sys.maxsize)
    delimiter, held = delimiter_of(path), _Held()
    reader = csv.reader(
        held.of(lines(path, encoding)), delimiter=delimiter, quoting=STYLES[quoting], strict=True
    )
    try:
        header = next(filter(None, reader), [])
        _check_header(path, reader.line_num, header, delimiter, columns)
        start = reader.line_num + 1
        # a program that quotes the header quotes all texts, and none of their lines is a row
        trusted = label not in header or any('"' in line for line in held.lines)
        swallowed = None if trusted else _Swallowed(delimiter, header, str(label))
        held.lines.clear()
        for fields in reader:
            if fields and len(fields) != len(header):
                raise SourceError(
                    f"{path}: line {start}: has not the header's {len(header)} fields;"
                    f" {_remedy(quoting, held.quotes)}"
                )
            if fields:
                if swallowed is not None:
                    swallowed.note(start, held.lines, fields)
                yield f"{path}: line {start}", dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
            held.lines.clear()
        if swallowed is not None:
            swallowed.check(path)
    except csv.Error as error:
        place, fault = f"{path}: line {reader.line_num}", str(error)
        if fault.startswith("new-line character"):
            raise SourceError(
                f"{place}: a carriage return stands alone; save the file with line feeds"
            ) from None
        raise SourceError(
            f"{place}: {fault}; mend the quotes, or write quoting: none if they are text"
        ) from None


class _Held:
    """The lines of the row that is being read, and whether any line had a quote."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.quotes = False

    def of(self, source: Iterator[str]) -> Iterator[str]:
        for line in source:
            self.quotes = self.quotes or '"' in line
            self.lines.append(line)
            yield line


class _Swallowed:
    """Lines within quotes that would be rows on their own: the header's fields, a known label."""

    def __init__(self, delimiter: str, header: list[str], label: str) -> None:
        self.delimiter, self.width, self.place = delimiter, len(header), header.index(label)
        self.labels: set[str] = set()
        self.suspects: list[tuple[int, list[str], int]] = []

    def note(self, start: int, held: list[str], fields: list[str]) -> None:
        """Note a row, and the labels of its lines if it has several."""
        own = fields[self.place]
        self.labels.add(own)
        if len(held) == 1 or len(self.suspects) == MOST_SUSPECTS:
            return
        parts = [line.rstrip("\r\n").split(self.delimiter) for line in held if line.strip()]
        found = [part[self.place] for part in parts if len(part) == self.width]
        if own in found:  # the line that ends the row, or begins it, has its label either way
            found.remove(own)
        if 2 * len(found) > len(parts) - 1:
            self.suspects.append((start, found, len(parts) - 1))

    def check(self, path: Path) -> None:
        """Refuse rows most of whose lines are rows on their own.

        Raises:
            SourceError: with the first of them.
        """
        for start, found, others in self.suspects:
            rows = sum(label in self.labels for label in found)
            if 2 * rows > others:
                raise SourceError(
                    f"{path}: line {start}: a quote begins there that ends {others} lines further"
                    f" down, and {rows} of these have the fields and the label of rows of their"
                    " own; write quoting: none if the quotes are text, or quoting: minimal if they"
                    " enclose one text"
                )


def _remedy(quoting: Quoting, quotes: bool) -> str:
    if quoting == "none":
        return "take the separator out of its text, or write quoting: minimal if quotes enclose it"
    other = ", or write quoting: none if the quotes are text" if quotes else ""
    return f"quote a text that holds the separator{other}"


def _check_header(
    path: Path, line: int, header: list[str], delimiter: str, columns: Collection[str]
) -> None:
    for name in header:
        # spreadsheets write many columns without a name
        if name and header.count(name) > 1:
            raise SourceError(
                f"{path}: line {line}: {header.count(name)} columns are named {name!r};"
                " rename or remove all but one"
            )
    for other in NAMES.keys() - {delimiter}:
        names = {name.strip('"') for name in delimiter.join(header).split(other)}
        if columns and not set(columns) <= set(header) and set(columns) <= names:
            remedy = "name it .tsv" if other == "\t" else f"save it with {NAMES[delimiter]}"
            raise SourceError(
                f"{path}: line {line}: its fields stand between {NAMES[other]}, not"
                f" {NAMES[delimiter]}; {remedy}"
            )
