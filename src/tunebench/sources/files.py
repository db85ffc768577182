"""Rows from local files: CSV, TSV, JSON lines, JSON and Parquet.

Every complaint about a row names the file and the line (in Parquet, the row).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.config.data import Dataset
from tunebench.errors import SourceError, suggest
from tunebench.sources.fingerprints import digests
from tunebench.sources.rows import Opened, Row

SPLITS = ("train", "validation", "test")


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of each split's file."""
    found = locate(dataset)
    hashes = digests(found.values())
    return {split: hashes[path] for split, path in found.items()}


def open_rows(dataset: Dataset, *, pinned: str | None = None) -> Opened:  # noqa: ARG001
    """Each split's rows, each with its file and line."""
    found = locate(dataset)
    return Opened({split: _readers()[path.suffix.lower()](path) for split, path in found.items()})


def locate(dataset: Dataset) -> dict[str, Path]:
    """Each split's file. One file alone is `train`; a folder holds train.*, test.*, validation.*.

    Raises:
        SourceError: if a file is missing or of an unknown kind.
    """
    found: dict[str, Path]
    if isinstance(dataset.path, dict):
        found = {str(split): Path(path) for split, path in dataset.path.items()}
    else:
        path = Path(str(dataset.path))
        found = _in_folder(path) if path.is_dir() else {"train": path}
    for path in found.values():
        if not path.is_file():
            folder = path.parent
            beside = map(str, folder.glob("*"))
            hint = suggest(path, beside) if folder.is_dir() else f"{folder} is no folder"
            raise SourceError(f"path: {path} is not there; {hint}")
        if path.suffix.lower() not in _readers():
            kinds = ", ".join(sorted(_readers()))
            raise SourceError(f"path: {path} is of an unknown kind; use one of {kinds}")
    return {split: found[split] for split in SPLITS if split in found}


def _in_folder(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.stem in SPLITS and path.suffix.lower() in _readers():
            if path.stem in found:
                raise SourceError(f"path: {folder} holds two files for {path.stem}; name them")
            found[path.stem] = path
    if "train" not in found:
        raise SourceError(f"path: {folder} holds no train file (train.csv, train.jsonl, …)")
    return found


def _readers() -> dict[str, Any]:
    return {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_json_lines,
        ".json": _read_json,
        ".parquet": _read_parquet,
    }


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{path}: line {number}: byte {error.start + 1} is not UTF-8;"
                    " save the file as UTF-8"
                ) from None


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    try:
        header = next(filter(None, reader), [])
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
        raise SourceError(f"{path}: line {reader.line_num}: {error}; mend the quotes") from None


def _read_json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"{place}: is not JSON: {error.msg}") from None
            yield place, _mapping(row, place)


def _read_json(path: Path) -> Iterator[Row]:
    try:
        rows = json.loads("".join(_lines(path)))
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}: line {error.lineno}: is not JSON: {error.msg}") from None
    if not isinstance(rows, list):
        raise SourceError(f"{path}: holds no list of rows; write [{{…}}, {{…}}]")
    for number, row in enumerate(rows, start=1):
        place = f"{path}: row {number}"
        yield place, _mapping(row, place)


def _mapping(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise SourceError(f"{place}: is no mapping of column to value")
    return row


def _read_parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(path).iter_batches()
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            yield f"{path}: row {number}", row
    except ArrowInvalid as error:
        raise SourceError(f"{path}: is not Parquet: {error}") from None
