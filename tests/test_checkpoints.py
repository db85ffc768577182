"""Checkpoints are gone on with when they are whole and of the very same run, and not otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunebench.training.checkpoints import Checkpoints

IDENTITY = {"seed": 0, "libraries": {"torch": "2.13.0"}}
FILES = ("model.safetensors", "optimizer.pt", "trainer_state.json")


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "run", IDENTITY)


def write(kept: Checkpoints, step: int) -> Path:
    folder = kept.folder / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"{name} of step {step}")
    return folder


def complete(kept: Checkpoints, step: int, **options: Any) -> Path:
    folder = write(kept, step)
    kept.complete(step, **{"seconds": step / 2, "keep": 1, "best": None} | options)
    return folder


def test_the_newest_whole_one_is_taken(kept: Checkpoints) -> None:
    assert kept.last() is None
    complete(kept, 9, keep=2)
    newest = complete(kept, 10, keep=2)
    assert kept.last() == newest
    assert kept.seconds(newest) == 5.0
    assert kept.seconds(None) == 0.0


def test_older_ones_go_only_when_a_newer_is_whole(kept: Checkpoints) -> None:
    kept.last()
    older = complete(kept, 2)
    write(kept, 4)
    assert older.exists()
    complete(kept, 6)
    assert [path.name for path in kept.folder.glob("checkpoint-*")] == ["checkpoint-6"]


def test_the_best_one_stays(kept: Checkpoints) -> None:
    best = complete(kept, 2)
    complete(kept, 4, best=str(best))
    complete(kept, 6, best=str(best))
    found = sorted(path.name for path in kept.folder.glob("checkpoint-*"))
    assert found == ["checkpoint-2", "checkpoint-6"]


def test_one_that_was_cut_off_is_passed_over(
    kept: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.last()
    whole = complete(kept, 2)
    cut = write(kept, 4)
    assert kept.last() == whole
    assert capsys.readouterr().err == f"{cut}: was cut off while it was written; removed\n"
    assert not cut.exists()


@pytest.mark.parametrize("name", FILES)
def test_truncated_one_is_passed_over(
    name: str, kept: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.last()
    whole, damaged = complete(kept, 2, keep=2), complete(kept, 4, keep=2)
    size = (damaged / name).stat().st_size
    (damaged / name).write_text("short")
    assert kept.last() == whole
    said = f"{damaged}: {name} has 5 bytes where {size} were written; removed\n"
    assert capsys.readouterr().err == said


def test_note_that_is_no_json_counts_for_nothing(kept: Checkpoints) -> None:
    kept.last()
    folder = complete(kept, 2)
    (folder / "whole.json").write_text('{"files"')
    assert kept.last() is None


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"libraries": {"torch": "2.12.0"}}, {"prompts": "0" * 64}]
)
def test_other_runs_are_removed(
    other: dict[str, Any], kept: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.last()
    complete(kept, 2)
    changed = Checkpoints(kept.folder, IDENTITY | other)
    assert changed.last() is None
    assert "checkpoints of other settings, rows or versions; removed" in capsys.readouterr().err
    assert [path.name for path in kept.folder.iterdir()] == ["job.json"]
    assert json.loads((kept.folder / "job.json").read_text()) == changed.identity


def test_half_removed_folder_is_no_run(kept: Checkpoints) -> None:
    kept.last()
    complete(kept, 2)
    (kept.folder / "job.json").unlink()  # what `remove` does first
    assert kept.last() is None


def test_what_a_failed_save_left_is_removed(kept: Checkpoints) -> None:
    kept.last()
    whole, failed = complete(kept, 2), write(kept, 4)
    kept.remove_unfinished()
    assert whole.exists()
    assert not failed.exists()
    kept.remove()
    assert not kept.folder.exists()
