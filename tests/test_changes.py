"""Files that change, caches that are cut, and what killed downloads leave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Project, environment, run_stage
from toys import dataset, get, write_csv

from stages import check, download, forgetting_text
from tunebench import leftovers, paths, results
from tunebench.data.sources import delimited, fingerprints, source_of
from tunebench.errors import SourceError
from tunebench.paths import Run

CHANGED = (
    r"changed after the stage check read it; run `dvc repro` again when no program writes to it"
)
REVIEWS = Run(dataset="reviews")


def test_file_that_changes_after_check(project: Project) -> None:
    run_stage(check, Run())
    run_stage(download, REVIEWS)
    before = project.files()
    with Path("train.csv").open("a") as file:
        file.write("one more,positive\n")
    with pytest.raises(SourceError, match=rf"^path: train\.csv {CHANGED}$"):
        run_stage(download, REVIEWS)
    assert project.files() == before
    run_stage(check, Run())
    run_stage(download, REVIEWS)
    assert results.read(paths.card("reviews"))["rows"]["train"] == 25


@pytest.mark.parametrize("line", ["u,a\n", "u,a,too many\n"])
def test_file_that_changes_while_it_is_read(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "rows.csv", *(f"t{n},{'ab'[n % 2]}" for n in range(40)))
    original = delimited.lines

    def changing(*given: Any) -> Iterator[str]:
        yield from original(*given)
        with path.open("a") as file:
            file.write(line)
        yield line

    found = source_of(dataset(path)).fingerprint(dataset(path))
    monkeypatch.setattr(delimited, "lines", changing)
    with pytest.raises(SourceError, match=rf"^path: {path} {CHANGED}$"):
        get(path, found)


def test_generator_that_changes_after_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_rows.py").write_text("def generate(rows, *, seed): return []\n")
    monkeypatch.syspath_prepend(tmp_path)
    changed = {"generator": "made_rows", "rows": {"train": 4, "test": 2}}
    with pytest.raises(SourceError, match=rf"^generator: made_rows {CHANGED}$"):
        get(None, {"made_rows.py": "0f"}, **changed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\0",
        b"[" * 100_000,
        b"9" * 5_000,
        None,
        "list",
        "text",
        "hash",
    ],
    ids=lambda content: repr(content)[:20],
)
def test_damaged_fingerprints_are_made_anew(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_csv(tmp_path / "rows.csv", "t,a")
    expected = fingerprints.digests([path])
    whole = json.loads(paths.FINGERPRINTS.read_text())
    [(name, entry)] = whole.items()
    entries = {"list": [1], "text": "x", "hash": entry | {"sha256": 7}}
    if content is None:
        content = paths.FINGERPRINTS.read_bytes()[:-20]
    elif isinstance(content, str):
        content = json.dumps({name: entries[content], "other": None}).encode()
    paths.FINGERPRINTS.write_bytes(content)
    assert fingerprints.digests([path]) == expected
    healed = json.loads(paths.FINGERPRINTS.read_text())
    assert {name: healed[name]} == whole


def test_fingerprints_are_on_disk_before_they_are_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(number: int) -> None:
        steps.append("fsync")
        fsync(number)

    def swapped(self: Path, target: Path) -> Path:
        steps.append("swap")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", swapped)
    fingerprints.digests([write_csv(tmp_path / "rows.csv", "t,a")])
    assert steps[0] == "fsync"
    assert "swap" in steps


KILLED = """
import sys, time
from pathlib import Path
from tunebench import results
with results.replacing_folder(Path(sys.argv[1])) as folder:
    (folder / "train.parquet").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_download_left_is_removed_by_the_next(project: Project) -> None:
    run_stage(check, Run())
    command = [sys.executable, "-c", KILLED, str(paths.raw("reviews"))]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [left] = paths.raw("reviews").parent.iterdir()
        leftovers.sweep(paths.raw("reviews"))
        assert left.exists()  # since that process runs
        process.send_signal(signal.SIGKILL)
    assert left.exists()
    others = [
        left.with_name(name) for name in (".reviews.x.tmp", ".reviews2.1.tmp", "reviews.9.tmp")
    ]
    for path in others:
        path.mkdir()
    run_stage(download, REVIEWS)
    assert sorted(left.parent.iterdir()) == sorted([*others, paths.raw("reviews")])


def gone() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folder_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    number = gone()
    for end in ("old", "tmp"):
        (tmp_path / f".raw.{number}.{end}").mkdir()
    (tmp_path / f".raw.{number}.old" / "card.json").touch()
    leftovers.sweep(tmp_path / "raw")
    assert [*tmp_path.rglob("*")] == [tmp_path / "raw", tmp_path / "raw" / "card.json"]


def test_leftovers_of_the_forgetting_text(project: Project, valid: dict[str, Any]) -> None:
    valid["evaluation"]["forgetting"] = {"dataset": "reviews", "rows": 2}
    project.write_params(valid)
    run_stage(check, Run())
    left = paths.DATA / f".{paths.FORGETTING_CARD.name}.{gone()}.abc"
    left.mkdir()
    run_stage(forgetting_text, Run())
    assert len(results.read_lines(paths.FORGETTING_TEXT)) == 2
    assert [path.name for path in paths.DATA.iterdir() if path.name.startswith(".")] == []
