"""Parquet files are written and read a group of rows at a time, and give back what went in."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunebench import results
from tunebench.data import tables
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError


def rows(count: int, text: str = "") -> Iterator[TextRow]:
    for index in range(count):
        yield TextRow(id=f"train-{index}", text=f"é\n{index}{text}", target="ab"[index % 2])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """95 rows in groups of ten."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 10)
    tables.write(tmp_path / "new" / "train.parquet", rows(95))
    return tmp_path / "new" / "train.parquet"


def groups(path: Path) -> list[int]:
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_rows_are_read_as_written(path: Path) -> None:
    assert tables.read(path) == [*rows(95)]
    assert tables.count(path) == 95
    assert groups(path) == [10] * 9 + [5]
    with pytest.raises(KeyboardInterrupt), results.replacing(path):
        raise KeyboardInterrupt
    assert tables.count(path) == 95


def test_no_rows(tmp_path: Path) -> None:
    tables.write(tmp_path / "none.parquet", [])
    assert tables.read(tmp_path / "none.parquet") == []


def test_further_columns_and_control_characters(tmp_path: Path) -> None:
    row = {"id": "1", "text": "a\0b\r\n", "target": "", "hypothesis": "c", "_x": "\ufeff"}
    tables.write(tmp_path / "r.parquet", [row, row])
    assert tables.read(tmp_path / "r.parquet") == [row, row]
    assert tables.take(tmp_path / "r.parquet", [1]) == [row]


def test_long_texts_make_small_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_CHARACTERS", 1000)
    tables.write(tmp_path / "r.parquet", rows(9, "x" * 400))
    assert groups(tmp_path / "r.parquet") == [3, 3, 3]


def test_column_shares_equal_values(path: Path) -> None:
    found = tables.column(path, "target")
    assert found == [row["target"] for row in rows(95)]
    assert len({id(value) for value in found}) <= 20


@pytest.mark.parametrize(
    "indices", [[], [0], [94, 0, 50], [*range(95)], [*range(94, -1, -1)], [9, 10, 11, 9]]
)
def test_rows_are_taken_in_the_order_asked_for(indices: list[int], path: Path) -> None:
    whole = [*rows(95)]
    assert tables.take(path, indices) == [whole[index] for index in indices]
    ascending = sorted(indices)
    assert [*tables.stream(path, ascending)] == [whole[index] for index in ascending]


def test_rows_are_streamed(path: Path) -> None:
    assert [*tables.stream(path)] == [*rows(95)]


def test_columns_are_taken(path: Path) -> None:
    assert tables.take(path, [50, 1], columns=["target"]) == [{"target": "a"}, {"target": "b"}]


def test_damaged_file_says_what_to_do(path: Path) -> None:
    content = path.read_bytes()
    for damaged in (content[:-9], b"", content[:40] + b"\xff" * 400 + content[440:]):
        path.write_bytes(damaged)
        for read in (tables.read, tables.count, lambda path: [*tables.stream(path)]):
            if read is tables.count and len(damaged) == len(content):
                continue  # which reads the footer only
            with pytest.raises(SourceError, match=r"; remove it and run `dvc repro`$") as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: is ")


def test_only_groups_with_a_wanted_row_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, *args: Any, **kwargs: Any) -> Any:
        read.append(group)
        return original(self, group, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    tables.take(path, [71, 3, 79, 4])
    assert read == [0, 7]


def test_rows_are_selected_in_place(path: Path) -> None:
    mask = np.arange(95) % 3 == 0
    mask[20:40] = False
    other = path.with_name("other.parquet")
    tables.select(path, ~mask, to=other)
    tables.select(path, mask, to=path)
    whole = [*rows(95)]
    assert tables.read(path) == [row for row, kept in zip(whole, mask, strict=True) if kept]
    assert tables.read(other) == [row for row, kept in zip(whole, mask, strict=True) if not kept]


def test_writing_holds_no_more_than_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS", 100)
    tables.write(tmp_path / "warm.parquet", rows(10))  # imports are no rows
    tracemalloc.start()
    tables.write(tmp_path / "r.parquet", rows(5_000, "x" * 2_000))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_500_000 < 10_000_000 < 5_000 * 2_000 + 1
