"""Rows as Parquet: one split of a data set, or one subset of it."""

from __future__ import annotations

from pathlib import Path

from tunebench import results
from tunebench.errors import SourceError

# one row in the form that every stage reads: `id`, `text`, `target` (a label's name or a summary),
# and the further columns that the data set names
TextRow = dict[str, str]


def write(path: Path, rows: list[TextRow]) -> None:
    """Write rows atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    with results.replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


def read(path: Path) -> list[TextRow]:
    """Read rows that an earlier stage wrote."""
    import pyarrow.parquet as pq

    if not path.exists():
        raise SourceError(f"{path}: is not there yet; run `dvc repro`")
    rows: list[TextRow] = pq.read_table(path).to_pylist()
    return rows
