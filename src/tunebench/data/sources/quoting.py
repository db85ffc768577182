"""Whether the quotes of a CSV or TSV file enclose fields or are text, decided by the file.

A message such as `"She came home late` begins with a quote that nothing closes: read as one that
encloses, it swallows rows until the next quote. So a file that has quotes is read both ways at
once, a row at a time, and what only one of the readings explains decides.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebench.data.sources.decoding import CHUNK_BYTES, lines
from tunebench.data.sources.delimited import Quoting
from tunebench.errors import SourceError

# a field of more characters than that is a quote that nothing closes, if the lines are rows too
LONGEST_FIELD = 1 << 24
# spreadsheets quote a text with a comma in a TSV too; so many are no chance
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
    """How to read a file's quotes; None where both ways give the same rows.

    Args:
        columns: those that are wanted, which tell the reading that has them.
        label: the one that holds labels; a reading that makes up new ones is wrong.
        header: the columns' names, of a file that does not begin with them.

    Raises:
        SourceError: if both readings make sense, and one has more rows.
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
    """Whether there may be a quote: its byte stands in the file."""
    code = '"'.encode(encoding or "utf-8").rstrip(b"\0")[-1:]
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if code in chunk:
                return True
    return False


class _NotPlainError(Exception):
    """Where quotes are text, lines have different numbers of fields, or columns are missing."""


class _NotQuotedError(Exception):
    """A field goes on over more than any text does."""


@dataclass
class _Scan:
    """Both readings of one file, and what was seen where they differ."""

    delimiter: str
    columns: set[str]
    label: str | None
    names: list[str] | None
    lines_read: int = 0  # as rows of the plain reading, its header among them
    rows_read: int = 0  # of the quoted reading, without its header
    plain_header: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    quoted_valid: bool = True
    differ: bool = False
    place: int | None = None  # of the label, where both readings have it
    # columns by their place in the quoted reading
    header_quoted: set[int] = field(default_factory=set)
    always_quoted: set[int] | None = None  # in each row up to here
    needless: set[int] = field(
        default_factory=set
    )  # quoted though nothing in the field asks for it
    comma_only: Counter[int] = field(default_factory=Counter)  # quoted, and asked for by a comma
    bare_comma: bool = False  # a field that is not quoted has one
    agreed: set[str] = field(default_factory=set)  # labels of rows that both readings have
    ends: set[str] = field(default_factory=set)  # labels of rows of several lines, in both too
    swallowed: Counter[str] = field(default_factory=Counter)  # labels that only the plain one has

    def run(self, source: Iterator[str]) -> None:
        """Read to the end, or to where the plain reading cannot be right.

        Raises:
            _NotPlainError: there.
        """
        csv.field_size_limit(sys.maxsize)
        held: list[str] = []
        plain = self._plain(source)
        reader = csv.reader(_holding(plain, held), delimiter=self.delimiter, strict=True)
        try:
            if self.names is not None:
                self.plain_header = self.header = self.names
                self._find_label()
            for fields in reader:
                if fields and not self.header:
                    self.header = fields
                    self.header_quoted = set(_quoted(held, fields))
                    self.differ = bool(self.header_quoted)
                    self._find_label()
                    if not self.columns <= set(self.plain_header) and self.columns <= set(fields):
                        raise _NotPlainError
                elif fields:
                    if len(fields) != len(self.header):
                        raise _NotQuotedError
                    self._row(held, fields)
                held.clear()
        except (csv.Error, _NotQuotedError):
            self.quoted_valid = False
            for _ in plain:
                pass

    def _find_label(self) -> None:
        if self.label in self.header and self.label in self.plain_header:
            self.place = self.header.index(self.label)

    def _plain(self, source: Iterator[str]) -> Iterator[str]:
        """The lines, as long as they could be rows of a file whose quotes are text."""
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

    def _row(self, held: list[str], fields: list[str]) -> None:
        """Note a row of the quoted reading, made of the lines that are held."""
        self.rows_read += 1
        line = held[0] if len(held) == 1 else None
        if line is not None and '"' not in line:
            self.always_quoted = set()
            self.bare_comma = self.bare_comma or "," in line
        elif self.always_quoted != set() or self.delimiter == "\t" or not self.differ:
            self._note_quotes(set(_quoted(held, fields)), fields)
        if self.place is None:
            return
        if line is not None:
            self.agreed.add(fields[self.place].strip())
            return
        at = self.plain_header.index(str(self.label))
        found = [row.split(self.delimiter)[at].strip() for row in held if row.strip("\r\n")]
        own = fields[self.place].strip()
        if own in found:  # the line that ends the row, or begins it, has its label either way
            found.remove(own)
            self.ends.add(own)
        self.swallowed.update(found)

    def _note_quotes(self, quoted: set[int], fields: list[str]) -> None:
        """Note which fields of a row are in quotes, and in a TSV whether they need to be."""
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
        """What all of it comes to, once the plain reading is known to be consistent.

        Raises:
            SourceError: if it comes to nothing.
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
        """Whether a program wrote the quotes: where they are needed, or in whole columns."""
        whole = (self.always_quoted or set()) & self.header_quoted
        as_spreadsheets = not self.bare_comma and self.comma_only.total() >= SPREADSHEET_FIELDS
        commas = set() if as_spreadsheets else set(self.comma_only)
        return self.needless | commas <= whole

    def _of_swallowed(self, path: Path, plain_rows: int) -> Quoting:
        """Which reading is right, by the lines that are rows in one of them only."""
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


def _holding(source: Iterator[str], held: list[str]) -> Iterator[str]:
    """The lines, each of them held too, for the row that they make."""
    size = 0
    for line in source:
        size = size + len(line) if held else len(line)
        if size > LONGEST_FIELD and len(held) > 1:
            raise _NotQuotedError
        held.append(line)
        yield line


def _quoted(held: list[str], fields: list[str]) -> list[int]:
    """Which of a row's fields are in quotes."""
    text, at = "".join(held), 0
    found = []
    for column, value in enumerate(fields):
        if text.startswith('"', at):
            found.append(column)
            at += 2 + value.count('"')
        at += len(value) + 1
    return found
