"""Rows of CSV and TSV files, whose quotes enclose fields or are text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from tunebench.data.sources.decoding import LONGEST_LINE, lines
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError

# as Python's csv names them: quotes around fields that need them, or none
Quoting = Literal["minimal", "none"]
STYLES: dict[Quoting, Literal[0, 3]] = {"minimal": csv.QUOTE_MINIMAL, "none": csv.QUOTE_NONE}
MAX_SUSPECTS = 1_000
NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}


def delimiter_of(path: Path) -> str:
    """The delimiter of a file, by its name."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def read(
    path: Path,
    encoding: str | None,
    quoting: Quoting,
    columns: Collection[str] = (),
    label: str | None = None,
) -> Iterator[Row]:
    """A file's rows, each with its line; empty lines are skipped.

    Args:
        columns: the expected columns, by which another delimiter is detected.
        label: the column by which rows within quotes are detected; None trusts quotes.

    Raises:
        SourceError: for a row without the header's number of fields, quotes that are not closed,
            or rows within quotes.
    """
    csv.field_size_limit(LONGEST_LINE)
    delimiter, row_lines = delimiter_of(path), _RowLines()
    reader = csv.reader(
        row_lines.of(lines(path, encoding)),
        delimiter=delimiter,
        quoting=STYLES[quoting],
        strict=True,
    )
    try:
        header = next(filter(None, reader), [])
        _check_header(path, reader.line_num, header, delimiter, columns)
        start = reader.line_num + 1
        # a program that quotes the header quotes all texts, so no row is within quotes
        trusted = label not in header or any('"' in line for line in row_lines.lines)
        swallowed = None if trusted else _Swallowed(delimiter, header, str(label))
        row_lines.lines.clear()
        for fields in reader:
            if fields and len(fields) != len(header):
                raise SourceError(
                    f"{path}: line {start}: has not the header's {len(header)} fields;"
                    f" {_remedy(quoting, row_lines.quotes)}"
                )
            if fields:
                if swallowed is not None:
                    swallowed.note(start, row_lines.lines, fields)
                yield f"{path}: line {start}", dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
            row_lines.lines.clear()
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


class _RowLines:
    """The lines of the current row, and whether any line so far had a quote."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.quotes = False

    def of(self, source: Iterator[str]) -> Iterator[str]:
        for line in source:
            self.quotes = self.quotes or '"' in line
            self.lines.append(line)
            yield line


class _Swallowed:
    """Lines within quotes that look like rows: with the header's fields and a known label."""

    def __init__(self, delimiter: str, header: list[str], label: str) -> None:
        self.delimiter, self.width, self.place = delimiter, len(header), header.index(label)
        self.labels: set[str] = set()
        self.suspects: list[tuple[int, list[str], int]] = []

    def note(self, start: int, row_lines: list[str], fields: list[str]) -> None:
        """Record a row, and the labels of its lines if it has several."""
        label = fields[self.place]
        self.labels.add(label)
        if len(row_lines) == 1 or len(self.suspects) == MAX_SUSPECTS:
            return
        parts = [line.rstrip("\r\n").split(self.delimiter) for line in row_lines if line.strip()]
        labels = [part[self.place] for part in parts if len(part) == self.width]
        if label in labels:  # the row's first or last line has its label in any case
            labels.remove(label)
        if 2 * len(labels) > len(parts) - 1:
            self.suspects.append((start, labels, len(parts) - 1))

    def check(self, path: Path) -> None:
        """Refuse a file with a row most of whose lines look like rows.

        Raises:
            SourceError: with the first such row.
        """
        for start, labels, others in self.suspects:
            rows = sum(label in self.labels for label in labels)
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
    for name, count in Counter(header).items():
        # spreadsheets write many columns without a name
        if name and count > 1:
            raise SourceError(
                f"{path}: line {line}: {count} columns are named {name!r};"
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
