"""Copy rows of a Parquet file in another order, in limited memory.

A subset of all rows is a permutation of the whole file. Its rows are first distributed to temporary
files, each with the rows of one part of the result, and then every part is put in order by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tunebench import results
from tunebench.data import tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_BYTES = 32_000_000  # three times that is in memory: read, joined, in order
MAX_PARTS = 256  # each is an open file


def copy(path: Path, indices: Sequence[int], *, to: Path) -> None:
    """Write the rows with these indices, in that order, to another file, atomically."""
    import numpy as np

    with (
        tables.opened(path) as file,
        results.replacing(to) as temporary,
        tables.writer(temporary, file.schema_arrow) as target,
    ):
        group_rows = _group_rows(file.metadata)
        part_rows = _part_rows(file.metadata, len(indices), group_rows)
        if len(indices) <= part_rows:
            target.write_table(tables.gather(file, indices), row_group_size=group_rows)
            return
        with TemporaryDirectory(prefix=f".{to.name}.{os.getpid()}.", dir=to.parent) as folder:
            for part in _parts(file, np.asarray(indices, np.int64), part_rows, Path(folder)):
                target.write_table(part, row_group_size=group_rows)


def _row_bytes(metadata: Any) -> float:
    """A row's mean size in memory."""
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    return sum(int(group.total_byte_size) for group in groups) / max(1, int(metadata.num_rows))


def _group_rows(metadata: Any) -> int:
    """Rows of a row group: fewer if they are long."""
    fitting = int(tables.GROUP_CHARACTERS / max(1, _row_bytes(metadata)))
    return min(tables.GROUP_ROWS, max(1, fitting))


def _part_rows(metadata: Any, rows: int, group_rows: int) -> int:
    """Rows of a part: whole row groups."""
    fitting = max(PART_BYTES / max(1, _row_bytes(metadata)), rows / MAX_PARTS)
    return max(1, -(-int(fitting) // group_rows)) * group_rows


def _parts(file: Any, indices: NDArray[np.int64], part_rows: int, folder: Path) -> Iterator[Any]:
    """An Arrow table of each part of the rows with these indices."""
    import numpy as np
    import pyarrow as pa

    count = -(-len(indices) // part_rows)
    paths = [folder / f"{number}.arrow" for number in range(count)]
    places = _distribute(file, indices, part_rows, paths)
    for number, path in enumerate(paths):
        with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
            table = reader.read_all()
        path.unlink()
        yield table.take(np.argsort(np.concatenate(places[number])))


def _distribute(
    file: Any, indices: NDArray[np.int64], part_rows: int, paths: Sequence[Path]
) -> list[list[NDArray[np.int64]]]:
    """Write each part's rows to its file, and return their places in the result."""
    import numpy as np
    import pyarrow as pa

    order = np.argsort(indices, kind="stable")
    ascending = indices[order]
    places: list[list[NDArray[np.int64]]] = [[] for _ in paths]
    with ExitStack() as stack:
        sinks = [stack.enter_context(pa.OSFile(str(path), "wb")) for path in paths]
        writers = [
            stack.enter_context(pa.ipc.new_stream(sink, file.schema_arrow)) for sink in sinks
        ]
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(ascending, (start, end))
            if low < high:
                by_part = low + np.argsort(order[low:high] // part_rows, kind="stable")
                table = file.read_row_group(group).take(ascending[by_part] - start)
                bounds = np.searchsorted(order[by_part] // part_rows, np.arange(len(paths) + 1))
                for part, (first, last) in enumerate(pairwise(bounds)):
                    writers[part].write_table(table.slice(first, last - first))
                    places[part].append(order[by_part[first:last]])
            start = end
    return places
