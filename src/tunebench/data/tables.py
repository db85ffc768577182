"""Rows as Parquet: one split of a data set, or one subset of it.

Files are written and read in row groups of a few megabytes, so that they need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import results
from tunebench.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# one row as every stage reads it: `id`, `text`, `target` (a label's name, or a summary), and the
# data set's further columns, as templates name them
TextRow = dict[str, str]
COLUMNS = ("id", "text", "target")

GROUP_ROWS = 10_000
GROUP_CHARACTERS = 16_000_000  # long texts make smaller groups


def write(path: Path, rows: Iterable[TextRow]) -> None:
    """Write a stream of rows atomically; all have the first one's columns."""
    import pyarrow as pa

    groups = _groups(rows)
    first = next(groups, [])
    # a `string` column is limited to 2 GiB of text per chunk
    schema = pa.schema([(name, pa.large_string()) for name in (first[0] if first else COLUMNS)])
    with results.replacing(path) as temporary, _writer(temporary, schema) as writer:
        for group in chain([first], groups):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def read(path: Path) -> list[TextRow]:
    """All rows that an earlier stage wrote."""
    with _open(path) as file:
        rows: list[TextRow] = file.read().to_pylist()
    return rows


def count(path: Path) -> int:
    """How many rows there are, without reading them."""
    with _open(path) as file:
        return int(file.metadata.num_rows)


def column(path: Path, name: str) -> list[str]:
    """One column; equal values are one object, so labels of millions of rows take little memory."""
    values: list[str] = []
    with _open(path, read_dictionary=[name]) as file:
        for chunk in file.read(columns=[name]).column(name).chunks:
            dictionary = chunk.dictionary.to_pylist()
            values += [dictionary[code] for code in chunk.indices.to_numpy()]
    return values


def take(path: Path, indices: Sequence[int]) -> list[TextRow]:
    """The rows with these indices, in that order; no others are kept in memory."""
    rows: list[TextRow] = _gather(path, indices).to_pylist()
    return rows


def copy(path: Path, indices: Sequence[int], *, to: Path) -> None:
    """Write the rows with these indices, in that order, to another file, atomically."""
    table = _gather(path, indices)
    with results.replacing(to) as temporary, _writer(temporary, table.schema) as writer:
        writer.write_table(table, row_group_size=GROUP_ROWS)


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
        _open(path) as file,
        _writer(temporary, file.schema_arrow) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            end = start + table.num_rows
            chosen = table.filter(pa.array(mask[start:end]))
            if chosen.num_rows:
                writer.write_table(chosen)
            start = end


def _groups(rows: Iterable[TextRow]) -> Iterator[list[TextRow]]:
    group: list[TextRow] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += sum(map(len, row.values()))
        if len(group) == GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _gather(path: Path, indices: Sequence[int]) -> Any:
    """An Arrow table of some rows, read a row group at a time."""
    import numpy as np
    import pyarrow as pa

    row_indices = np.asarray(indices, np.int64)
    order = np.argsort(row_indices, kind="stable")
    ascending = row_indices[order]
    with _open(path) as file:
        tables, start = [file.schema_arrow.empty_table()], 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(ascending, (start, end))
            if low < high:
                tables.append(file.read_row_group(group).take(ascending[low:high] - start))
            start = end
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return pa.concat_tables(tables).take(inverse)


def _writer(path: Path, schema: Any) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema, use_dictionary=["target"])


def _open(path: Path, **options: Any) -> Any:
    from pyarrow.parquet import ParquetFile

    if not path.exists():
        raise SourceError(f"{path}: is not there yet; run `dvc repro`")
    return ParquetFile(path, **options)
