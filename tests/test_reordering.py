"""Rows are copied in any order, in parts that fit in memory, with the result of one part."""

from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from tunebench.data import reordering, tables
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError

ROWS = [
    TextRow(id=f"train-{n}", text=f"é\n{n}" + "x" * (n % 40), target="ab"[n % 2]) for n in range(95)
]
SHUFFLED = Random(0).sample(range(95), 95)
SOME = SHUFFLED[:37]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """95 rows in groups of ten, of which a part may have one."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 10)
    tables.write(tmp_path / "train.parquet", ROWS)
    monkeypatch.setattr(reordering, "PART_BYTES", 500)
    return tmp_path / "train.parquet"


@pytest.mark.parametrize(
    "indices", [[], [0], [94, 0, 50], [*range(95)], SHUFFLED, SOME, [9, 10, 11, 9] * 10]
)
def test_parts_give_the_bytes_of_the_whole(
    indices: list[int], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts, whole = path.with_name("parts.parquet"), path.with_name("whole.parquet")
    reordering.copy(path, indices, to=in_parts)
    assert tables.read(in_parts) == [ROWS[index] for index in indices]
    monkeypatch.setattr(reordering, "PART_BYTES", 1 << 30)
    reordering.copy(path, indices, to=whole)
    assert in_parts.read_bytes() == whole.read_bytes()
    assert {file.name for file in path.parent.iterdir()} == {
        "train.parquet", "parts.parquet", "whole.parquet",
    }  # fmt: skip


def test_no_more_than_a_part_is_put_in_order_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(tables, "gather", whole)
    sizes: list[int] = []
    original = pq.ParquetWriter.write_table

    def counted(self: object, table: object, **options: object) -> None:
        sizes.append(len(table))  # type: ignore[arg-type]
        original(self, table, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", counted)
    reordering.copy(path, SHUFFLED, to=path.with_name("parts.parquet"))
    assert sizes == [10] * 9 + [5]


def test_long_rows_make_small_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_CHARACTERS", 200)
    reordering.copy(path, SHUFFLED, to=path.with_name("parts.parquet"))
    metadata = pq.read_metadata(path.with_name("parts.parquet"))
    groups = range(metadata.num_row_groups)
    assert max(metadata.row_group(group).num_rows for group in groups) <= 5
    assert metadata.num_rows == 95


def test_damaged_file_leaves_nothing(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 400 + content[440:])
    with pytest.raises(SourceError, match=r"is damaged: .*; remove it and run `dvc repro`$"):
        reordering.copy(path, SHUFFLED, to=path.with_name("parts.parquet"))
    assert [file.name for file in path.parent.iterdir()] == ["train.parquet"]
