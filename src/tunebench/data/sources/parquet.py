"""Rows of Parquet files; damaged ones are reported in one line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tunebench.data.sources.decoding import readable
from tunebench.data.sources.rows import Row
from tunebench.errors import SourceError

BATCH_ROWS = 1_000
BUFFER_BYTES = 1 << 20  # without it, a column of a row group is buffered, compressed


@contextmanager
def explained(place: object, *, remedy: str) -> Iterator[None]:
    """Turn what pyarrow raises for damaged rows in the block into one line.

    Raises:
        SourceError: if the file cannot be read, or is no Parquet, or is damaged.
    """
    from pyarrow import ArrowException, ArrowInvalid

    try:
        yield
    except UnicodeDecodeError:
        raise SourceError(f"{place}: is damaged: a text is not UTF-8; {remedy}") from None
    except (ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        fault = "is not Parquet" if isinstance(error, ArrowInvalid) else "is damaged"
        raise SourceError(f"{place}: {fault}: {reason}; {remedy}") from None


def read(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """A file's rows, each with its number; other columns than the expected ones are not read."""
    if _is_empty(path):
        return
    with _opened(path) as file:
        names = file.schema_arrow.names
        # if one is missing, all are read, and the message lists them
        read_columns = sorted(columns) if set(columns) <= set(names) else None
        batches = file.iter_batches(BATCH_ROWS, columns=read_columns)
        rows = chain.from_iterable(map(mappings, batches))
        for number, row in enumerate(rows, start=1):
            yield f"{path}: row {number}", row


def mappings(batch: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow batch; to be called where errors are `explained`."""
    from pyarrow import ArrowInvalid

    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        raise
    except (OverflowError, ValueError) as error:  # a date that Python has not
        raise ArrowInvalid(str(error)) from None
    return rows


def label_names(path: Path, column: str) -> list[str]:
    """The ClassLabel names of a column in a file that `datasets` wrote, 0 first; else empty."""
    if _is_empty(path):
        return []
    with _opened(path) as file:
        stated = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(stated)["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    # metadata of another version or program
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else []


def _is_empty(path: Path) -> bool:
    with readable(path):
        return not path.stat().st_size


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    with (
        readable(path),
        explained(path, remedy="copy it again from where it came, or write it anew"),
        ParquetFile(
            path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as file,
    ):
        yield file
