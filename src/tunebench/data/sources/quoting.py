"""Whether the quotes of a CSV or TSV file enclose fields or are text, decided by its content.

A message such as `"She came home late` starts with a quote that is never closed; if quotes enclose
fields, it swallows all rows up to the next quote. So a file with quotes is read in both ways in one
pass, and the differences decide which reading is consistent.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebench.data.sources.decoding import CHUNK_BYTES, lines, readable
from tunebench.data.sources.delimited import Quoting
from tunebench.errors import SourceError

# a field with more characters is an unclosed quote, if its lines are valid rows too
LONGEST_FIELD = 1 << 24
# spreadsheets quote texts with a comma in a TSV too; this many are no coincidence
SPREADSHEET_FIELDS = 3


def decide(
    path: Path,
    encoding: str | None,
    delimiter: str,
    *,
    columns: Collection[str],
    label: str | None = None,
    header: Sequence[str] | None = None,
) -> Quoting | None:
    """How to read a file's quotes; None if both ways give the same rows.

    Args:
        columns: the expected columns; a reading without them is wrong.
        label: the column with labels; a reading that has new labels is wrong.
        header: the columns' names, if the file has no header.

    Raises:
        SourceError: if both readings are consistent, and one has more rows.
    """
    if not _holds_quote(path, encoding):
        return None
    scan = _Scan(delimiter, set(columns), label, list(header) if header is not None else None)
    try:
        scan.run(lines(path, encoding))
    except _NotPlainError:
        return "minimal"
    return scan.verdict(path)


def _holds_quote(path: Path, encoding: str | None) -> bool:
    """Whether the file may have a quote: it contains the byte."""
    code = '"'.encode(encoding or "utf-8").rstrip(b"\0")[-1:]
    with readable(path), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if code in chunk:
                return True
    return False


class _NotPlainError(Exception):
    """Read with quotes as text, lines differ in their number of fields, or columns are missing."""


class _NotQuotedError(Exception):
    """Read with quotes around fields, a field is longer than any text."""


@dataclass
class _Scan:
    """Both readings of one file, and how they differ."""

    delimiter: str
    columns: set[str]
    label: str | None
    names: list[str] | None
    lines_read: int = 0  # rows of the plain reading, including its header
    rows_read: int = 0  # rows of the quoted reading, without its header
    plain_header: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    quoted_valid: bool = True
    differ: bool = False
    place: int | None = None  # index of the label's column, if both readings have it
    # indices of columns in the quoted reading
    header_quoted: set[int] = field(default_factory=set)
    always_quoted: set[int] | None = None  # in each row so far
    needless: set[int] = field(default_factory=set)  # quoted though the field does not need it
    comma_only: Counter[int] = field(default_factory=Counter)  # quoted only because of a comma
    bare_comma: bool = False  # an unquoted field has a comma
    agreed: set[str] = field(default_factory=set)  # labels of rows that both readings have
    ends: set[str] = field(default_factory=set)  # labels of rows of several lines, in both too
    swallowed: Counter[str] = field(default_factory=Counter)  # labels in the plain reading only

    def run(self, source: Iterator[str]) -> None:
        """Read the file, unless the plain reading turns out to be wrong.

        Raises:
            _NotPlainError: if it does.
        """
        csv.field_size_limit(sys.maxsize)
        row_lines: list[str] = []
        plain = self._plain(source)
        reader = csv.reader(_holding(plain, row_lines), delimiter=self.delimiter, strict=True)
        try:
            if self.names is not None:
                self.plain_header = self.header = self.names
                self._find_label()
            for fields in reader:
                if fields and not self.header:
                    self.header = fields
                    self.header_quoted = set(_quoted(row_lines, fields))
                    self.differ = bool(self.header_quoted)
                    self._find_label()
                    if not self.columns <= set(self.plain_header) and self.columns <= set(fields):
                        raise _NotPlainError
                elif fields:
                    if len(fields) != len(self.header):
                        raise _NotQuotedError
                    self._row(row_lines, fields)
                row_lines.clear()
        except (csv.Error, _NotQuotedError):
            self.quoted_valid = False
            for _ in plain:
                pass

    def _find_label(self) -> None:
        if self.label in self.header and self.label in self.plain_header:
            self.place = self.header.index(self.label)

    def _plain(self, source: Iterator[str]) -> Iterator[str]:
        """The lines, while they are consistent with quotes that are text."""
        width = len(self.names) if self.names is not None else 0
        for line in source:
            body = line.removesuffix("\n").removesuffix("\r")
            if body:
                if not width:
                    self.plain_header = body.split(self.delimiter)
                    width = len(self.plain_header)
                # in a file of one column everything is one field
                if body.count(self.delimiter) + 1 != width or width == 1 or "\r" in body:
                    raise _NotPlainError
                self.lines_read += 1
            yield line

    def _row(self, row_lines: list[str], fields: list[str]) -> None:
        """Record a row of the quoted reading, which consists of these lines."""
        self.rows_read += 1
        line = row_lines[0] if len(row_lines) == 1 else None
        if line is not None and '"' not in line:
            self.always_quoted = set()
            self.bare_comma = self.bare_comma or "," in line
        elif self.always_quoted != set() or self.delimiter == "\t" or not self.differ:
            self._note_quotes(set(_quoted(row_lines, fields)), fields)
        if self.place is None:
            return
        if line is not None:
            self.agreed.add(fields[self.place].strip())
            return
        plain_place = self.plain_header.index(str(self.label))
        line_labels = [
            row.split(self.delimiter)[plain_place].strip() for row in row_lines if row.strip("\r\n")
        ]
        label = fields[self.place].strip()
        if label in line_labels:  # the row's first or last line has its label in both readings
            line_labels.remove(label)
            self.ends.add(label)
        self.swallowed.update(line_labels)

    def _note_quotes(self, quoted: set[int], fields: list[str]) -> None:
        """Record which fields of a row are quoted, and in a TSV whether they need to be."""
        self.differ = self.differ or bool(quoted)
        self.always_quoted = quoted if self.always_quoted is None else self.always_quoted & quoted
        if self.delimiter != "\t":
            return
        for column, text in enumerate(fields):
            if column not in quoted:
                self.bare_comma = self.bare_comma or "," in text
            elif not any(character in text for character in '\t"\n\r'):
                if "," in text:
                    self.comma_only[column] += 1
                else:
                    self.needless.add(column)

    def verdict(self, path: Path) -> Quoting | None:
        """The decision, given that the plain reading is consistent.

        Raises:
            SourceError: if both readings are consistent, and differ in their rows.
        """
        in_plain = self.columns <= set(self.plain_header)
        if self.header and in_plain and not self.columns <= set(self.header):
            return "none"
        if not self.quoted_valid:
            # one row's quotes are broken in a file that quotes a column throughout
            return "minimal" if self.rows_read > 1 and self.always_quoted else "none"
        if not self.differ:
            return None
        plain_rows = self.lines_read - (self.names is None)
        if plain_rows > self.rows_read:
            return self._of_swallowed(path, plain_rows)
        return "minimal" if self.delimiter != "\t" or self._well_quoted() else "none"

    def _well_quoted(self) -> bool:
        """Whether a program wrote the quotes: only where needed, or in entire columns."""
        fully_quoted = (self.always_quoted or set()) & self.header_quoted
        as_spreadsheets = not self.bare_comma and self.comma_only.total() >= SPREADSHEET_FIELDS
        commas = set() if as_spreadsheets else set(self.comma_only)
        return self.needless | commas <= fully_quoted

    def _of_swallowed(self, path: Path, plain_rows: int) -> Quoting:
        """The decision by the lines that are rows in the plain reading only."""
        if self.always_quoted and self.rows_read > 1:
            return "minimal"
        labels = self.agreed | self.ends
        unknown = sum(rows for label, rows in self.swallowed.items() if label not in labels)
        known = self.swallowed.total() - unknown
        if known and not unknown:
            return "none"
        if self.delimiter == "\t":
            # a text of several lines with a tab in each of them is rare
            if known or not self.swallowed:
                return "none"
        elif self.agreed and unknown and not known:
            return "minimal"
        raise SourceError(
            f"{path}: holds {plain_rows} rows if its quotes are text, and {self.rows_read} if they"
            " enclose texts of several lines; write quoting: none for the first,"
            " quoting: minimal for the second"
        )


def _holding(source: Iterator[str], row_lines: list[str]) -> Iterator[str]:
    """The lines, each also appended to `row_lines`."""
    size = 0
    for line in source:
        size = size + len(line) if row_lines else len(line)
        if size > LONGEST_FIELD and len(row_lines) > 1:
            raise _NotQuotedError
        row_lines.append(line)
        yield line


def _quoted(row_lines: list[str], fields: list[str]) -> list[int]:
    """The indices of a row's quoted fields."""
    text, at = "".join(row_lines), 0
    columns = []
    for column, value in enumerate(fields):
        if text.startswith('"', at):
            columns.append(column)
            at += 2 + value.count('"')
        at += len(value) + 1
    return columns
