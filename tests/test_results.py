"""Files are written whole or not at all, and hold no number that is none."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest

from tunebench import results
from tunebench.data import tables
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError


def test_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    results.write(path, {"a": 1})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), results.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_interrupted_lines_leave_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    results.write_lines(path, [{"a": "é"}, {"a": 2}])

    def rows():
        yield {"a": 3}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.write_lines(path, rows())
    assert results.read_lines(path) == [{"a": "é"}, {"a": 2}]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_none_is_refused(value: float, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    results.write(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write(path, {"loss": value})
    assert results.read(path) == {"loss": 1.0}
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write_lines(tmp_path / "rows.jsonl", [{"score": value}])
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    results.write(path, {"name": "é 😀\u2028", "n": [1, 2.5, None]})
    assert results.read(path) == {"name": "é 😀\u2028", "n": [1, 2.5, None]}
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_missing_file_says_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for read in (results.read, results.read_lines, tables.read):
        with pytest.raises(SourceError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: is not there yet; run `dvc repro`"


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.123456789, 6, 0.123457),
        (123456.789, 4, 123500),
        (0.000012345678, 3, 0.0000123),
        (-2.71828, 3, -2.72),
        (0.0, 6, 0.0),
    ],
)
def test_rounded_to_significant_digits(value: float, digits: int, expected: float) -> None:
    assert results.rounded(value, digits) == expected


def test_rounding_hides_no_failure() -> None:
    assert math.isnan(results.rounded(math.nan))
    assert results.rounded(math.inf) == math.inf


def test_provenance_is_json_and_names_versions() -> None:
    found = results.provenance("tiny/reviews", {"path": Path("x"), "n": (1, 2)}, "cpu")
    assert found["settings"] == {"path": "x", "n": [1, 2]}
    assert set(found) == {"run", "settings", "libraries", "device", "platform"}
    assert set(found["libraries"]) == {"python", *results.LIBRARIES}
    json.dumps(found)


def test_tables_are_read_as_written(tmp_path: Path) -> None:
    rows = [TextRow(id=f"train-{n}", text=f"é\n{n}", target="a") for n in range(3)]
    path = tmp_path / "new" / "train.parquet"
    tables.write(path, rows)
    assert tables.read(path) == rows
    with pytest.raises(KeyboardInterrupt), results.replacing(path):
        raise KeyboardInterrupt
    assert tables.read(path) == rows


def test_outputs_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    folder, file = tmp_path / "new" / "folder", tmp_path / "file.json"
    for text in ("first", "second"):
        with results.replacing_together(folder, file) as (new_folder, new_file):
            results.write(new_folder / "inner.json", {"text": text})
            results.write(new_file, {"text": text})
            assert not folder.exists() or results.read(folder / "inner.json")["text"] == "first"
        assert results.read(folder / "inner.json") == results.read(file) == {"text": text}
    with pytest.raises(RuntimeError), results.replacing_together(folder, file) as new:
        results.write(new[0] / "other.json", {})
        results.write(new[1], {})
        raise RuntimeError
    assert results.read(folder / "inner.json") == results.read(file) == {"text": "second"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "file.json", "folder", "inner.json", "new",
    ]  # fmt: skip


def test_a_temporary_path_is_written_itself(tmp_path: Path) -> None:
    with results.replacing(tmp_path / "a.json") as temporary:
        with results.replacing(temporary) as same:
            assert same == temporary
            same.write_text("{}")
        assert [path.name for path in tmp_path.iterdir()] == [temporary.name]
    assert results.read(tmp_path / "a.json") == {}


def test_an_output_that_is_missing_replaces_nothing(tmp_path: Path) -> None:
    results.write(tmp_path / "a.json", {"n": 1})
    with (
        pytest.raises(FileNotFoundError),
        results.replacing_together(tmp_path / "a.json", tmp_path / "b.json") as (new, _),
    ):
        results.write(new, {"n": 2})
    assert results.read(tmp_path / "a.json") == {"n": 1}


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    path, other = tmp_path / "folder", tmp_path / f".folder-2.{ended.pid}.tmp"
    (tmp_path / f".folder.{ended.pid}.tmp").mkdir()
    (tmp_path / f".folder.{ended.pid}.old").mkdir()  # killed between the two renames
    (tmp_path / f".folder.{ended.pid}.old" / "earlier.json").write_text("{}")
    alive = tmp_path / f".folder.{os.getppid()}.tmp"
    for kept in (alive, other):
        kept.mkdir()
    with results.replacing_together(path):
        assert [file.name for file in path.iterdir()] == ["earlier.json"]
        with pytest.raises(RuntimeError), results.replacing_folder(path):
            raise RuntimeError
        (tmp_path / f".folder.{os.getpid()}.tmp").mkdir()
    assert sorted(tmp_path.iterdir()) == sorted([path, alive, other])
    assert not list(path.iterdir())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"a": 1', "line 1: Expecting ',' delimiter"),
        (b'{\n"a": }', "line 2: Expecting value"),
        (b"", "line 1: Expecting value"),
        (b"[1]", "line 1: is no JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "line 1: Exceeds the limit"),
        (b"[" * 100_000, "line 1: maximum recursion depth"),
    ],
)
def test_damaged_file_is_one_error(content: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        results.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: is damaged: {fault}")
    assert message.endswith("; remove it and run `dvc repro`")
    assert results.earlier(path) is None
    path.write_bytes(b"{}\n" + (content or b"\n"))
    with pytest.raises(SourceError, match="is damaged"):
        results.read_lines(path)
