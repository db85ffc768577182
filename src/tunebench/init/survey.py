"""The columns of a file: what they hold, before anyone says which is the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TypeVar

from tunebench.config.data import Columns, Dataset
from tunebench.data.sources import decoding, files, parquet, quoting, readers
from tunebench.data.sources.delimited import NAMES, Quoting, delimiter_of
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError
from tunebench.init.answers import Answers
from tunebench.init.column import Column, is_empty
from tunebench.progress import over

T = TypeVar("T")

# of a split, 10 s or so; a file may have more, and then the output says so
MAX_ROWS = 250_000
MAX_CHARACTERS = 500_000_000
SAMPLED_ROWS = 1_000
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Survey:
    """A file's columns in a sample of its training rows, of which `rows` were read.

    `partial` says that it has more rows than were read.
    """

    files: dict[str, list[Path]]
    columns: dict[str, Column]
    sampled: int
    rows: int
    partial: bool


def survey(answers: Answers) -> Survey:
    """The columns of the training rows.

    Raises:
        SourceError: if the file is missing, of an unknown kind, unreadable, or holds no rows.
    """
    columns = Columns(text="text", summary="summary")  # known later
    dataset = Dataset(
        **answers.reading, task="summarization", columns=columns, template="none", training={}
    )
    located = files.locate(dataset)
    rows = (row for path in located["train"] for row in _rows(path, dataset))
    cells = (row for _, row in limited(over(rows, unit="row")))
    count, sample = reservoir(cells, SAMPLED_ROWS)
    if not sample:
        empty = all(not path.stat().st_size for path in located["train"])
        raise SourceError(f"{answers.file}: {'is empty' if empty else 'holds no rows'}")
    if count < FEWEST_ROWS:
        raise too_few(answers.file, count)
    names = dict.fromkeys(name for row in sample for name in row)
    partial = next(rows, None) is not None
    within = f"the first {count:,} rows; shuffle the file if it is sorted" * partial or "all rows"
    found = {
        name: Column(
            name, [row[name] for row in sample if not is_empty(row.get(name))], len(sample), within
        )
        for name in names
    }
    return Survey(located, found, len(sample), count, partial)


def limited(rows: Iterable[Row]) -> Iterator[Row]:
    """The first rows, as many as are read of a large file."""
    characters = 0
    for place, cells in islice(rows, MAX_ROWS):
        yield place, cells
        characters += sum(len(cell) for cell in cells.values() if isinstance(cell, str))
        if characters > MAX_CHARACTERS:
            return


def too_few(file: str, rows: int) -> SourceError:
    """That a file has too few rows to learn from some and measure on others."""
    return SourceError(
        f"{file}: holds {rows} training rows, too few to train on some and measure on others; give"
        f" {FEWEST_ROWS} at least"
    )


def reservoir(items: Iterable[T], size: int) -> tuple[int, list[T]]:
    """How many items there are, and a uniform random sample of them, the same in every run."""
    random, count = Random(0), 0
    kept: list[T] = []
    for count, item in enumerate(items, start=1):
        if len(kept) < size:
            kept.append(item)
        elif (place := int(random.random() * count)) < size:
            kept[place] = item
    return count, kept


def _rows(path: Path, dataset: Dataset) -> Iterator[Row]:
    columns: Iterable[str] = ()
    style: Quoting = "minimal"
    if path.suffix.lower() == ".parquet":
        columns = _parquet_columns(path)
    else:
        _refuse_binary(path, dataset.encoding)
    if path.suffix.lower() in files.DELIMITED:
        columns = _columns_by_another_delimiter(path, dataset.encoding)
        style = _quoting(path, dataset)
    yield from readers.read(path, dataset.encoding, set(columns), style)


def _quoting(path: Path, dataset: Dataset) -> Quoting:
    """How quotes are read for now; `audit` decides again, with the label's column."""
    if dataset.quoting != "auto":
        return dataset.quoting
    try:
        decided = quoting.decide(path, dataset.encoding, delimiter_of(path), columns=())
    except SourceError:  # ambiguous as long as labels are unknown
        return "minimal"
    return decided or "minimal"


def _parquet_columns(path: Path) -> list[str]:
    from pyarrow.parquet import read_schema

    remedy = "copy it again from where it came, or write it anew"
    with decoding.readable(path):
        if not path.stat().st_size:
            return []
        with parquet.explained(path, remedy=remedy):
            return list(read_schema(path).names)


def _columns_by_another_delimiter(path: Path, encoding: str | None) -> list[str]:
    """The header's names where it has one field only, and several by another delimiter.

    Given to the reader as expected columns, they make it name the delimiter.
    """
    header = next(decoding.lines(path, encoding), "").rstrip("\r\n")
    own = delimiter_of(path)
    if own in header:
        return []
    others = [other for other in NAMES if other in header]
    return [name.strip('"') for other in others[:1] for name in header.split(other)]


def _refuse_binary(path: Path, encoding: str | None) -> None:
    """Refuse a file with control characters, of no kind that the reader names."""
    with decoding.readable(path), path.open("rb") as file:
        head = file.read(4096)
    marks = (*decoding.BINARY_FILES, *decoding.BYTE_ORDER_MARKS)
    wide = max(head[::2].count(0), head[1::2].count(0)) > len(head) / 4  # UTF-16, which it names
    if encoding is not None or head.startswith(marks) or wide:
        return
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    if controls > len(head) / 50:
        raise SourceError(f"{path}: is a binary file, not text; export its rows as CSV")
