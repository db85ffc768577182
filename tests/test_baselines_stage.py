"""The stage `baselines` on real files: every run of a data set, and what uses its results."""

import json
from pathlib import Path
from typing import Any

import pytest
from projects import Project, run_stage
from typer.testing import CliRunner

from stages import baselines, check, download
from tunebench import paths, results
from tunebench.cli import app
from tunebench.paths import BASELINE, Run
from tunebench.report import inspection
from tunebench.winner import predicting, runs
from tunebench.winner.predicting import Source

REVIEWS = Run(dataset="reviews")
LINEAR = Run(BASELINE, "reviews", "linear", 1.0, 0)
MAJORITY = Run(BASELINE, "reviews", "majority", 0.5, 1)
METHODS = {"majority": {"kind": "majority"}, "linear": {"kind": "linear"}, "lead": {"kind": "lead"}}


@pytest.fixture
def finished(project: Project, valid: dict[str, Any]) -> Project:
    """A project whose baselines have run, on two sizes and two seeds."""
    valid["methods"] |= METHODS
    valid["grid"] |= {"baselines": list(METHODS), "seeds": [0, 1]}
    valid["datasets"]["reviews"]["test_rows"] = 6
    project.write_params(valid)
    run_stage(check, Run())
    run_stage(download, REVIEWS)
    run_stage(baselines, REVIEWS)
    return project


def test_every_run_has_results(finished: Project) -> None:
    names = {"majority": 4, "linear": 4}  # `lead` does not answer labels
    folder = Path("metrics/evaluate/baseline/reviews")
    found = {each.name: len(list(each.iterdir())) for each in folder.iterdir()}
    assert found == names
    for run in (LINEAR, MAJORITY):
        rows = results.read_lines(paths.predictions(run))
        assert len(rows) == 6
        assert rows[0].keys() >= {"id", "prompt", "prompt_sha256", "gold", "answer", "scores"}
        assert set(rows[0]["scores"]) == {"positive", "negative"}
        evaluated, trained = results.read(paths.evaluation(run)), results.read(paths.train(run))
        assert evaluated["rows"] == 6
        assert 0 <= evaluated["ece"] <= 1
        assert trained["rows"] == (24 if run is LINEAR else 12)
        assert {"train_s", "machine_s", "adapter_bytes", "trainable_parameters"} <= trained.keys()
        timed = results.read(paths.timing(run))
        assert timed["requests_per_s_batch_1"] > 0
        assert timed["peak_memory_bytes"] > 10**7
        assert "scikit-learn" in results.read(paths.timing_provenance(run))["libraries"]
    assert results.read(paths.evaluation(LINEAR))["accuracy"] == 1.0


def test_again_is_the_same_but_for_the_clock(finished: Project) -> None:
    def lasting() -> dict[str, bytes]:
        return {
            path: content for path, content in finished.files().items()
            if path.startswith(("data/adapters", "data/predictions"))
        }  # fmt: skip

    first = lasting()
    run_stage(baselines, REVIEWS)
    assert lasting() == first
    assert len(first) >= 20


def test_check_writes_what_the_stage_depends_on(finished: Project, valid: dict[str, Any]) -> None:
    path = paths.baseline_settings("reviews")
    first = path.read_text()
    assert list(json.loads(first)["methods"]) == ["majority", "linear"]
    valid["methods"]["lora"]["adapter"]["r"] = 2
    valid["training"]["num_train_epochs"] = 2
    finished.write_params(valid)
    run_stage(check, Run())
    assert path.read_text() == first
    valid["methods"]["linear"]["C"] = [1]
    finished.write_params(valid)
    run_stage(check, Run())
    assert path.read_text() != first


def test_without_baselines_there_are_empty_folders(project: Project, valid: dict[str, Any]) -> None:
    assert "baselines" not in valid["grid"]
    run_stage(check, Run())
    run_stage(download, REVIEWS)
    run_stage(baselines, REVIEWS)
    made = baselines.outputs(REVIEWS)
    assert len(made) == 6
    assert not [path for folder in made for path in folder.iterdir()]
    assert results.read(paths.baseline_settings("reviews")) == {}


def test_new_rows_are_answered_as_test_rows_were(finished: Project) -> None:
    source = Source(finished.folder / "test.jsonl")
    ready = runs.evaluated(LINEAR)
    counts = predicting.predict(ready, source, finished.folder / "out.jsonl")
    answers = {row["id"]: row for row in results.read_lines(finished.folder / "out.jsonl")}
    evaluated = results.read_lines(paths.predictions(LINEAR))
    assert (counts.rows, counts.empty, len(answers)) == (8, 0, 8)
    assert sum(counts.answers.values()) == 8
    scores = [row["scores"] for row in answers.values()]
    assert all(row["scores"] in scores for row in evaluated)


MISSING = {
    "tiny/reviews/linear/1.0-0": "write baseline/reviews/linear/1.0-0",
    "baseline/reviews/lora/1.0-0": "is no run of 'lora'; name the model before it",
    "baseline/reviews/lead/1.0-0": "'lead' is a method of summarization, and reviews is",
    "baseline/reviews/linear/0.1-0": "grid.train_sizes of params.yaml has no 0.1",
    "baseline/reviews/linear": "add its size and seed",
}


def test_runs_that_there_are_not(finished: Project) -> None:
    for run, message in MISSING.items():
        shown = CliRunner().invoke(app, ["predict", run, "test.jsonl", "--out", "out.csv"])
        assert shown.exit_code == 1
        assert message in shown.output


def test_show_and_export(finished: Project) -> None:
    shown = list(inspection.describe(LINEAR, worst=1))
    assert any(line.startswith("  answer: ") for line in shown)
    exported = CliRunner().invoke(app, ["export", str(LINEAR), "out", "--merged"])
    assert exported.exit_code == 1
    assert "has no language model to export; `tunebench predict" in exported.output
