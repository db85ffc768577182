"""Rows of one file: CSV, TSV, JSON lines, JSON and Parquet.

Every complaint about a row names the file and the line (in JSON and Parquet, the row). All but
JSON, which is one value, are read in pieces.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tunebench.errors import SourceError
from tunebench.sources.decoding import lines
from tunebench.sources.rows import Row

KINDS = (".csv", ".json", ".jsonl", ".parquet", ".tsv")
PARQUET_BATCH_ROWS = 1_000
PARQUET_BUFFER_BYTES = 1 << 20  # else a column of a whole row group is held, compressed


def read(path: Path, encoding: str | None, columns: Collection[str]) -> Iterator[Row]:
    """A file's rows, each with its place, for messages about it.

    Args:
        columns: those that are wanted; Parquet's others are not read.
    """
    match path.suffix.lower():
        case ".parquet":
            return _read_parquet(path, columns)
        case ".json":
            return _read_json(path, encoding)
        case ".jsonl":
            return _read_json_lines(path, encoding)
        case kind:
            return _read_csv(path, encoding, "\t" if kind == ".tsv" else ",")


def _read_csv(path: Path, encoding: str | None, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines(path, encoding), delimiter=delimiter, strict=True)
    try:
        header = next(filter(None, reader), [])
        _refuse_twins(path, reader.line_num, header)
        start = reader.line_num + 1
        for fields in reader:
            if fields and len(fields) != len(header):
                raise SourceError(
                    f"{path}: line {start}: has not the header's {len(header)}"
                    " fields; quote a text that holds the separator"
                )
            if fields:  # a line with nothing on it is no row
                yield f"{path}: line {start}", dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        place, fault = f"{path}: line {reader.line_num}", str(error)
        if fault.startswith("new-line character"):
            raise SourceError(
                f"{place}: a carriage return stands alone; save the file with line feeds"
            ) from None
        raise SourceError(f"{place}: {fault}; mend the quotes") from None


def _refuse_twins(path: Path, line: int, header: list[str]) -> None:
    for name in header:
        # spreadsheets write many columns without a name
        if name and header.count(name) > 1:
            raise SourceError(
                f"{path}: line {line}: {header.count(name)} columns are named {name!r};"
                " rename or remove all but one"
            )


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
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    if not path.stat().st_size:
        return
    try:
        with ParquetFile(path, buffer_size=PARQUET_BUFFER_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            # where one is missing, the rows' own columns make the message
            wanted = sorted(columns) if set(columns) <= set(names) else None
            batches = file.iter_batches(PARQUET_BATCH_ROWS, columns=wanted)
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            for number, row in enumerate(rows, start=1):
                yield f"{path}: row {number}", row
    except ArrowInvalid as error:
        raise SourceError(f"{path}: is not Parquet: {error}") from None
