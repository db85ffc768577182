"""Rows of one file: CSV, TSV, JSON lines, JSON and Parquet.

Error messages name the file and the line (in JSON and Parquet, the row). All formats but JSON are
streamed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunebench.data.sources import delimited, parquet
from tunebench.data.sources.decoding import lines, text
from tunebench.data.sources.delimited import Quoting
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError

KINDS = (".csv", ".json", ".jsonl", ".parquet", ".tsv")


def read(
    path: Path,
    encoding: str | None,
    columns: Collection[str],
    quoting: Quoting = "minimal",
    label: str | None = None,
) -> Iterator[Row]:
    """A file's rows, each with its place, for messages about it.

    Args:
        columns: the expected columns; other ones of Parquet files are not read.
        quoting: of CSV and TSV files; see `delimited.read`, as for `label`.
    """
    match path.suffix.lower():
        case ".parquet":
            return parquet.read(path, columns)
        case ".json":
            return _read_json(path, encoding)
        case ".jsonl":
            return _read_json_lines(path, encoding)
        case _:
            return delimited.read(path, encoding, quoting, columns, label)


def label_names(path: Path, column: str) -> list[str]:
    """The label names that a file states for a column, 0 first; only Parquet files do."""
    return parquet.label_names(path, column) if path.suffix.lower() == ".parquet" else []


def _read_json_lines(path: Path, encoding: str | None) -> Iterator[Row]:
    for number, line in enumerate(lines(path, encoding), start=1):
        if line.strip():
            place = f"{path}: line {number}"
            with _explained(place):
                row = json.loads(line)
            yield place, _mapping(row, place)


def _read_json(path: Path, encoding: str | None) -> Iterator[Row]:
    content = text(path, encoding)
    with _explained(f"{path}", number_lines=True):
        rows = json.loads(content) if content else []
    del content  # may be large
    if not isinstance(rows, list):
        raise SourceError(f"{path}: holds no list of rows; write [{{…}}, {{…}}]")
    for number, row in enumerate(rows, start=1):
        place = f"{path}: row {number}"
        yield place, _mapping(row, place)


@contextmanager
def _explained(place: str, *, number_lines: bool = False) -> Iterator[None]:
    """Turn what Python's parser raises in the block into one line."""
    try:
        yield
    except json.JSONDecodeError as error:
        place = f"{place}: line {error.lineno}" if number_lines else place
        if number_lines and error.msg == "Extra data":
            raise SourceError(
                f"{place}: a second value begins; name the file .jsonl if each line is a row"
            ) from None
        raise SourceError(f"{place}: is not JSON: {error.msg}") from None
    except ValueError:  # more digits than Python converts
        raise SourceError(
            f"{place}: holds a number of more than {sys.get_int_max_str_digits()} digits; write it"
            " as a text, in quotes"
        ) from None
    except RecursionError:
        raise SourceError(
            f"{place}: is nested too deep; write each row as {{…}} with texts in it"
        ) from None


def _mapping(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise SourceError(f"{place}: is no mapping of column to value")
    return row
