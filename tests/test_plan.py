"""`tunebench plan` as it is used, and the line with which each stage begins."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from projects import ROOT, VALID, Project
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tunebench import countdown, paths, results
from tunebench.cli import app
from tunebench.countdown import Queue
from tunebench.planning import plan, printing


@pytest.fixture
def folder(project: Project) -> Path:
    """A project in which nothing has run."""
    shutil.copy(ROOT / "dvc.yaml", project.folder)
    (project.folder / ".dvc").mkdir()
    return project.folder


def planned(*options: str) -> Result:
    return CliRunner().invoke(app, ["plan", "--offline", *options])


def write(folder: Path, **changed: Any) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(VALID | changed, file)


def test_each_question_has_a_line(folder: Path) -> None:
    done = planned()
    assert (done.exit_code, done.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line[0] != " ")
    assert list(lines) == ["stages", "tokens", "download", "disk", "memory", "time"]
    assert lines["stages"].startswith("21 of 21 to run: 1 download, ")
    assert re.search(r"training \d+ MB, evaluation \d+ MB, timing \d+ MB; this device", done.stdout)
    assert not (folder / "metrics").exists()


def test_numbers_of_every_stage_as_json(folder: Path) -> None:
    found = json.loads(planned("--json").stdout)
    assert found["to_run"] == len(found["predictions"]) == 21
    assert found["seconds"] == pytest.approx(
        sum(stage["seconds"] for stage in found["predictions"]), abs=1
    )
    trained = [stage for stage in found["predictions"] if stage["kind"] == "train"]
    assert [stage["stage"] for stage in trained] == [
        "train@tiny-reviews-lora-0.5-0", "train@tiny-reviews-lora-1.0-0",
    ]  # fmt: skip
    assert 0 < trained[0]["trained_tokens"] < trained[1]["trained_tokens"]
    assert all(stage["peak_bytes"] > 100e6 for stage in trained)


def test_hours_have_a_price(folder: Path) -> None:
    write(folder, hardware={"name": "rented", "usd_per_hour": 36.0})
    (line,) = (line for line in planned().stdout.splitlines() if line.startswith("time"))
    dollars = float(re.findall(r"\$([\d.]+) at \$36 an hour", line)[0])
    assert dollars == pytest.approx(json.loads(planned("--json").stdout)["usd"], rel=0.3)


@pytest.mark.parametrize(
    ("hub", "line"),
    [
        ("someone/nameless", "models.tiny: someone/nameless is not here yet, and its size is not"),
        ("someone/llama-8b", "models.tiny: someone/llama-8b is not here yet; its size is read"),
    ],
)
def test_a_model_that_is_not_here(folder: Path, hub: str, line: str) -> None:
    write(folder, models={"tiny": {"hub": hub, "dtype": "bfloat16"}})
    done = planned()
    assert done.exit_code == 0, done.stderr
    assert line in done.stdout
    assert f"download    1 of unknown size: {hub}" in done.stdout


def test_what_does_not_fit_has_a_remedy(folder: Path) -> None:
    write(folder, models={"tiny": {"hub": "someone/llama-70b", "dtype": "bfloat16"}})
    lines = planned().stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("too large   train@"))
    assert "smallest change: " in lines[at + 1]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: (folder / "dvc.yaml").unlink(), "dvc.yaml: is not in "),
        (lambda folder: (folder / ".dvc").rmdir(), "or DVC is not set up there"),
        (lambda folder: (folder / "dvc.lock").write_text("stages: ["), "dvc.lock: "),
        (
            lambda folder: write(folder, grid=VALID["grid"] | {"tuning": ["lra"]}),
            "'lra' is not defined under methods; did you mean 'lora'?",
        ),
    ],
)
def test_a_fault_is_one_line(folder: Path, prepare: Any, message: str) -> None:
    prepare(folder)
    done = planned()
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_predictions_are_compared_with_what_happened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan.make(offline=True)
    assert printing.past_errors(made) == {}
    plan.keep(made)
    (first, *_) = made.predictions
    monkeypatch.setenv("DVC_STAGE", first.stage.name)
    countdown.record()
    found = printing.past_errors(made)
    assert found["stages"] == 1
    assert found["predicted_s"] == pytest.approx(first.seconds, rel=0.01)
    # since this process began, which was before the prediction
    assert found["happened_s"] > 0
    assert found["time_error"] == pytest.approx(
        found["predicted_s"] / found["happened_s"] - 1, rel=0.01
    )


QUEUE = Queue(
    dvc=(1, 2.0),
    started=1000.0,
    seconds={"rows": 30.0, "train": 600.0, "evaluate": 300.0, "report": 10.0},
    after={"evaluate": ["rows", "train"], "report": ["rows", "train", "evaluate"]},
)


@pytest.mark.parametrize(
    ("started", "after_s", "line"),
    [
        (["rows"], 0, "1 of 4 stages, about 16 minutes left"),
        (["rows", "train"], 30, "2 of 4 stages, about 15 minutes left"),
        # at half the speed, the rest takes twice as long
        (["rows", "train", "evaluate"], 1320, "3 of 4 stages, about 10 minutes left"),
        (["rows", "train", "evaluate", "report"], 1950, "4 of 4 stages, about 20 seconds left"),
        # `train` came out as it was, and DVC skipped what follows from it
        (["rows", "report"], 40, "2 of 2 stages, about 10 seconds left"),
    ],
)
def test_stages_count_down(started: list[str], after_s: float, line: str) -> None:
    assert QUEUE.line(started, 1000.0 + after_s) == line


def test_a_queue_is_of_one_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Queue.read() is None  # started by hand
    results.write(paths.QUEUE, vars(QUEUE))
    monkeypatch.setenv("DVC_STAGE", "train")
    assert Queue.read() is None  # of another process
    results.write(paths.QUEUE, {"dvc": [os.getpid()]})
    assert Queue.read() is None  # of another version
