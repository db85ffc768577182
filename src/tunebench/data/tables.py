"""Rows as Parquet: one split of a data set, or one subset of it.

Files are written and read in row groups of a few megabytes, so that they need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import results
from tunebench.data.sources.parquet import explained
from tunebench.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# one row as every stage reads it: `id`, `text`, `target` (a label's name, or a summary), and the
# data set's further columns, as templates name them
TextRow = dict[str, str]
COLUMNS = ("id", "text", "target")

BATCH_ROWS = 1_000
GROUP_ROWS = 10_000
GROUP_CHARACTERS = 16_000_000  # long texts make smaller groups


def write(path: Path, rows: Iterable[TextRow]) -> None:
    """Write a stream of rows atomically; all have the first one's columns."""
    import pyarrow as pa

    groups = grouped(rows, rows_at_once=GROUP_ROWS, characters_at_once=GROUP_CHARACTERS)
    first = next(groups, [])
    # a `string` column is limited to 2 GiB of text per chunk
    schema = pa.schema([(name, pa.large_string()) for name in (first[0] if first else COLUMNS)])
    with results.replacing(path) as temporary, writer(temporary, schema) as file:
        for group in chain([first], groups):
            file.write_table(pa.Table.from_pylist(group, schema=schema))


def read(path: Path) -> list[TextRow]:
    """All rows that an earlier stage wrote."""
    with opened(path) as file:
        rows: list[TextRow] = file.read().to_pylist()
    return rows


def stream(path: Path, ascending: Sequence[int] | None = None) -> Iterator[TextRow]:
    """The rows, or those with some ascending indices, a few in memory at a time."""
    import numpy as np

    chosen = None if ascending is None else np.asarray(ascending, np.int64)
    start = 0
    with opened(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            end = start + batch.num_rows
            if chosen is not None:
                low, high = np.searchsorted(chosen, (start, end))
                batch = batch.take(chosen[low:high] - start)
            yield from batch.to_pylist()
            start = end


def count(path: Path) -> int:
    """How many rows there are, without reading them."""
    with opened(path) as file:
        return int(file.metadata.num_rows)


def column(path: Path, name: str) -> list[str]:
    """One column; equal values are one object, so labels of millions of rows take little memory."""
    values: list[str] = []
    with opened(path, read_dictionary=[name]) as file:
        for chunk in file.read(columns=[name]).column(name).chunks:
            dictionary = chunk.dictionary.to_pylist()
            values += [dictionary[code] for code in chunk.indices.to_numpy()]
    return values


def take(
    path: Path, indices: Sequence[int], *, columns: Sequence[str] | None = None
) -> list[TextRow]:
    """The rows with these indices, in that order; no others are kept in memory.

    Args:
        columns: all if None.
    """
    with opened(path) as file:
        rows: list[TextRow] = gather(file, indices, columns=columns).to_pylist()
    return rows


def select(path: Path, mask: NDArray[np.bool_], *, to: Path) -> None:
    """Write the rows for which `mask` is true, atomically, a row group at a time.

    Args:
        mask: one value for each row of the file.
        to: may be the same file.
    """
    import pyarrow as pa

    start = 0
    with (
        results.replacing(to) as temporary,
        opened(path) as file,
        writer(temporary, file.schema_arrow) as target,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            end = start + table.num_rows
            chosen = table.filter(pa.array(mask[start:end]))
            if chosen.num_rows:
                target.write_table(chosen)
            start = end


def grouped(
    rows: Iterable[TextRow], *, rows_at_once: int, characters_at_once: int
) -> Iterator[list[TextRow]]:
    """The rows in lists of limited length, smaller ones if the texts are long."""
    group: list[TextRow] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += sum(map(len, row.values()))
        if len(group) == rows_at_once or characters >= characters_at_once:
            yield group
            group, characters = [], 0
    if group:
        yield group


def gather(file: Any, indices: Sequence[int], *, columns: Sequence[str] | None = None) -> Any:
    """An Arrow table of some rows of an open file, read a row group at a time."""
    import numpy as np
    import pyarrow as pa

    row_indices = np.asarray(indices, np.int64)
    order = np.argsort(row_indices, kind="stable")
    ascending = row_indices[order]
    empty = file.schema_arrow.empty_table()
    tables, start = [empty if columns is None else empty.select(columns)], 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        low, high = np.searchsorted(ascending, (start, end))
        if low < high:
            tables.append(file.read_row_group(group, columns).take(ascending[low:high] - start))
        start = end
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return pa.concat_tables(tables).take(inverse)


def writer(path: Path, schema: Any) -> Any:
    """A Parquet writer of rows with these columns."""
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema, use_dictionary=["target"])


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Any]:
    """A file that an earlier stage wrote.

    Raises:
        SourceError: if it is not there, or is damaged; also where the block reads it.
    """
    from pyarrow.parquet import ParquetFile

    if not path.exists():
        raise SourceError(f"{path}: is not there yet; run `dvc repro`")
    with (
        explained(path, remedy="remove it and run `dvc repro`"),
        ParquetFile(path, **options) as file,
    ):
        yield file
