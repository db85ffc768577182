"""Which file of a folder is which split; what is not clear is refused, never guessed."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import dataset, fault, get, write_csv, write_parquet

from tunebench.data.sources import files


def located(path: Any) -> dict[str, list[str]]:
    found = files.locate(dataset(path))
    return {split: [file.name for file in paths] for split, paths in found.items()}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        write_csv(folder / name, f"{name},x")
    return folder


def test_file_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, "rows.csv")
    (tmp_path / "empty").mkdir()
    path = tmp_path / "rowz.csv"
    assert fault(path) == f"path: {path} is not there; did you mean '{tmp_path / 'rows.csv'}'?"
    path = tmp_path / "none" / "rows.csv"
    assert fault(path) == f"path: {path} is not there; {path.parent} is no folder"
    path = tmp_path / "empty" / "rows.csv"
    assert fault(path) == f"path: {path} is not there; there are none"


def test_file_of_an_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    path.touch()
    assert fault(path) == (
        f"path: {path} is of an unknown kind; use one of .csv, .json, .jsonl, .parquet, .tsv"
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.csv", "notes.csv", "test.jsonl"], {"train": 1, "test": 1}),
        (["test.csv", "validation.csv", "train.csv"], {"train": 1, "validation": 1, "test": 1}),
        (["reviews-train.csv", "reviews-dev.csv"], {"train": 1, "validation": 1}),
        (["Train.CSV", "val.csv", ".train.csv", "_train.csv"], {"train": 1, "validation": 1}),
        (["a.csv", "b.csv", "c.txt", ".d.csv"], {"train": 2}),
        (["train/a.csv", "train/b.csv", "test/a.csv"], {"train": 2, "test": 1}),
        (["train/a.csv", "valid.csv", "pictures/b.csv"], {"train": 1, "validation": 1}),
    ],
)
def test_names_tell_the_split(names: list[str], expected: dict[str, int], tmp_path: Path) -> None:
    found = located(make(tmp_path, *names))
    assert {split: len(paths) for split, paths in found.items()} == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    "names",
    [
        ["train_1.csv", "train_2.csv", "train_10.csv"],
        ["train-00000-of-00003.csv", "train-00001-of-00003.csv", "train-00002-of-00003.csv"],
        ["train1.csv", "train2.csv"],
    ],
)
def test_parts_are_read_in_the_order_of_their_numbers(names: list[str], tmp_path: Path) -> None:
    folder = make(tmp_path, *reversed(names), "test.csv")
    assert located(folder) == {"train": names, "test": ["test.csv"]}
    write_csv(folder / names[0], "first,x", "second,y")
    write_csv(folder / "test.csv", "new,x")
    assert get(folder).texts("train") == ["first", "second", *names[1:]]
    assert list(files.fingerprint(dataset(folder))) == [*(f"train/{n}" for n in names), "test"]


def test_rows_of_all_files_of_a_folder_are_split(tmp_path: Path) -> None:
    for part in range(3):
        rows = [{"text": f"{part} {row}", "label": "xy"[row % 2]} for row in range(10)]
        write_parquet(tmp_path / f"part-{part}.parquet", rows)
    assert get(tmp_path).card["rows"] == {"train": 24, "test": 6}


def test_a_split_may_be_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "old/part-1.csv", "old/part-2.csv", "new.csv")
    given = {"test": str(tmp_path / "new.csv"), "train": str(tmp_path / "old")}
    assert located(given) == {"train": ["part-1.csv", "part-2.csv"], "test": ["new.csv"]}


def test_an_empty_part_is_no_fault(tmp_path: Path) -> None:
    write_csv(tmp_path / "train_1.csv")
    write_csv(tmp_path / "train_2.csv", "a,x", "b,y")
    write_csv(tmp_path / "test.csv", "c,x")
    assert get(tmp_path).card["rows"] == {"train": 2, "test": 1}
    write_csv(tmp_path / "train_2.csv")
    assert fault(tmp_path) == (
        f"{tmp_path / 'train_1.csv'} and 1 more: holds no rows; put the train rows there,"
        " or name another file"
    )


NAME_ONE = "name the one to read in path: {train: …, test: …}"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no data files (.csv, .json, .jsonl, .parquet, .tsv)"),
        (["data/a.csv", "notes.txt"], "holds no data files (.csv, .json, .jsonl, .parquet, .tsv);"
         " name a folder in it: data"),
        (["test.csv"], "holds no train file (train.csv, train.jsonl, …)"),
        (["train.csv", "train.jsonl"], f"holds several files for train, train.csv, train.jsonl;"
         f" {NAME_ONE}"),
        (["train.csv", "train_old.csv"], f"holds several files for train, train.csv,"
         f" train_old.csv; {NAME_ONE}"),
        (["train.csv", "val.csv", "dev.csv"], f"holds several files for validation, dev.csv,"
         f" val.csv; {NAME_ONE}"),
        (["train/a.csv", "train.csv"], f"holds several files for train, train.csv, train;"
         f" {NAME_ONE}"),
        (["a.csv", "b.json"], "holds files of several kinds, a.csv, b.json;"
         " name those to read in path: {train: …, test: …}"),
        (["train-00000-of-00002.csv"], "holds 1 of the 2 parts that train-00000-of-00002.csv"
         " tells of; bring the others there"),
    ],
)  # fmt: skip
def test_folder_faults(names: list[str], message: str, tmp_path: Path) -> None:
    assert fault(make(tmp_path, *names)) == f"path: {tmp_path} {message}"


def test_name_of_two_splits(tmp_path: Path) -> None:
    make(tmp_path, "train.csv", "train_or_test.csv")
    assert fault(tmp_path) == (
        f"path: {tmp_path / 'train_or_test.csv'} names both train and test;"
        " say which in path: {train: …, test: …}"
    )


def test_one_file_for_two_splits(tmp_path: Path) -> None:
    path = str(make(tmp_path, "rows.csv") / "rows.csv")
    assert fault({"train": path, "test": path}) == (
        f"path: {path} is named for train and for test; give each its own, or name train alone,"
        " and test rows are split off"
    )


def test_fingerprint_tells_a_part_that_came_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make(tmp_path / "rows", "a-1.csv", "a-2.csv")
    before = files.fingerprint(dataset(folder))
    assert list(before) == ["train/a-1.csv", "train/a-2.csv"]
    shutil.copy(folder / "a-1.csv", folder / "a-3.csv")
    assert files.fingerprint(dataset(folder)) == before | {"train/a-3.csv": before["train/a-1.csv"]}
    write_csv(folder / "a-2.csv", "changed,x")
    assert files.fingerprint(dataset(folder))["train/a-2.csv"] != before["train/a-2.csv"]
