"""Rows of one file: CSV, TSV, JSON lines, JSON and Parquet.

Error messages name the file and the line (in JSON and Parquet, the row). All formats but JSON are
streamed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tunebench.data.sources import delimited
from tunebench.data.sources.decoding import lines
from tunebench.data.sources.delimited import Quoting
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError

KINDS = (".csv", ".json", ".jsonl", ".parquet", ".tsv")
PARQUET_BATCH_ROWS = 1_000
PARQUET_BUFFER_BYTES = 1 << 20  # without it, a column of a row group is buffered, compressed


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
            return _read_parquet(path, columns)
        case ".json":
            return _read_json(path, encoding)
        case ".jsonl":
            return _read_json_lines(path, encoding)
        case _:
            return delimited.read(path, encoding, quoting, columns, label)


def label_names(path: Path, column: str) -> list[str]:
    """The ClassLabel names of a column in a Parquet file that `datasets` wrote, 0 first.

    Empty for other columns and other kinds of files.
    """
    if path.suffix.lower() != ".parquet" or not path.stat().st_size:
        return []
    with _parquet(path) as file:
        stated = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(stated)["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (ValueError, KeyError, TypeError):  # metadata of another version or program
        return []
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else []


def _read_json_lines(path: Path, encoding: str | None) -> Iterator[Row]:
    for number, line in enumerate(lines(path, encoding), start=1):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"{place}: is not JSON: {error.msg}") from None
            yield place, _mapping(row, place)


def _read_json(path: Path, encoding: str | None) -> Iterator[Row]:
    text = "".join(lines(path, encoding))
    try:
        rows = json.loads(text) if text else []
    except json.JSONDecodeError as error:
        place = f"{path}: line {error.lineno}"
        if error.msg == "Extra data":
            raise SourceError(
                f"{place}: a second value begins; name the file .jsonl if each line is a row"
            ) from None
        raise SourceError(f"{place}: is not JSON: {error.msg}") from None
    if not isinstance(rows, list):
        raise SourceError(f"{path}: holds no list of rows; write [{{…}}, {{…}}]")
    for number, row in enumerate(rows, start=1):
        place = f"{path}: row {number}"
        yield place, _mapping(row, place)


def _mapping(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise SourceError(f"{place}: is no mapping of column to value")
    return row


def _read_parquet(path: Path, columns: Collection[str]) -> Iterator[Row]:
    if not path.stat().st_size:
        return
    with _parquet(path) as file:
        names = file.schema_arrow.names
        # if one is missing, all are read, and the message lists them
        read_columns = sorted(columns) if set(columns) <= set(names) else None
        batches = file.iter_batches(PARQUET_BATCH_ROWS, columns=read_columns)
        rows = chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, row in enumerate(rows, start=1):
            yield f"{path}: row {number}", row


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, buffer_size=PARQUET_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except ArrowInvalid as error:
        raise SourceError(f"{path}: is not Parquet: {error}") from None
