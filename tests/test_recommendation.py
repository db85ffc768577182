"""`tunebench best`: the cheapest run that the test rows do not tell from the best one."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tunebench import config, paths, results
from tunebench.cli import app
from tunebench.errors import ParameterError, SourceError
from tunebench.paths import Run
from tunebench.report import recommendation

ROWS = 100
SMALL, LARGE = (Run("tiny", "reviews", "lora", size, 0) for size in (0.5, 1.0))
PROMPTED = Run("tiny", "reviews", "zero_shot")


def write(run: Run, right: int, *, train_s: float = 0.0, rate: float = 100.0) -> None:
    """What the stages leave of a run that is right on its first rows."""
    results.write_lines(
        paths.predictions(run),
        [
            {"id": f"test-{index}", "gold": "a", "answer": "a" if index < right else "b"}
            for index in range(ROWS)
        ],
    )
    accuracy = right / ROWS
    ends = {"accuracy_low": accuracy - 0.05, "accuracy_high": accuracy + 0.05}
    results.write(paths.evaluation(run), {"accuracy": accuracy, **ends, "rows": ROWS})
    results.write(paths.timing(run), {"requests_per_s_batch_1": rate})
    if run.train_size is not None:
        rows = {0.5: 12, 1.0: 24}[run.train_size]
        measured = {"rows": rows, "train_s": train_s, "machine_s": train_s}
        further = {"trainable_parameters": 8, "adapter_bytes": 32}
        results.write(paths.train(run), measured | further)


@pytest.fixture
def study(project: Any, valid: dict[str, Any]) -> dict[str, Any]:
    """A grid of three runs: 90, 88 and 50 of 100 test rows right."""
    valid["grid"] |= {"prompting": ["zero_shot"]}
    project.write_params(valid)
    write(LARGE, 90, train_s=200.0)
    write(SMALL, 88, train_s=100.0)
    write(PROMPTED, 50, rate=1000.0)
    return valid


def recommend(**options: Any) -> recommendation.Recommendation:
    return recommendation.recommend(config.load(), "reviews", **options)


@pytest.mark.usefixtures("study")
def test_the_cheapest_of_those_as_good_as_the_best() -> None:
    found = recommend(requests=1000)
    assert [candidate.run for candidate in found.candidates] == [LARGE, SMALL, PROMPTED]
    assert [candidate.as_good for candidate in found.candidates] == [True, True, False]
    assert [candidate.machine_s for candidate in found.candidates] == [210.0, 110.0, 1.0]
    assert (found.best.run, found.chosen.run) == (LARGE, SMALL)


@pytest.mark.usefixtures("study")
def test_a_run_that_is_told_apart_is_not_chosen_for_its_price() -> None:
    write(SMALL, 60, train_s=1.0)
    assert recommend().chosen.run == LARGE


@pytest.mark.usefixtures("study")
def test_many_requests_outweigh_training() -> None:
    write(PROMPTED, 87, rate=10.0)
    assert recommend(requests=100).chosen.run == PROMPTED
    assert recommend(requests=100_000).chosen.run == SMALL


def test_dollars_count_labels(study: dict[str, Any], project: Any) -> None:
    study["hardware"]["usd_per_hour"] = 3.6
    study["cost"] = {"usd_per_label": 0.5}
    project.write_params(study)
    found = recommend(requests=1000)
    assert [candidate.usd for candidate in found.candidates] == [
        pytest.approx(0.21 + 12), pytest.approx(0.11 + 6), pytest.approx(0.001),
    ]  # fmt: skip


@pytest.mark.usefixtures("study")
def test_a_run_without_a_score_is_named() -> None:
    results.write(paths.evaluation(PROMPTED), {"out_of_memory": True, "peak_memory_bytes": 10**9})
    results.write(paths.timing(PROMPTED), {"out_of_memory": True, "peak_memory_bytes": 10**9})
    found = recommend()
    assert [record.method for record in found.failed] == ["zero_shot"]
    shown = CliRunner().invoke(app, ["best", "reviews"])
    assert "  tiny/reviews/zero_shot: out of memory at 1 GB" in shown.output


@pytest.mark.usefixtures("study")
def test_it_is_printed_with_the_reason() -> None:
    shown = CliRunner().invoke(app, ["best", "reviews"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[0] == "tiny/reviews/lora/0.5-0: accuracy 88.0 (83.0 to 93.0)"
    (reason,) = (line for line in lines if line.startswith("Why: "))
    assert reason.startswith("Why: tiny/reviews/lora/1.0-0 has the highest score, but the test")
    marks = [line[:3].strip() for line in lines if line[3:].startswith("tiny/")]
    assert marks == ["=", "*", ""]


@pytest.mark.usefixtures("study")
def test_it_is_json_for_programs() -> None:
    shown = CliRunner().invoke(app, ["best", "reviews", "--json", "--requests", "1000"])
    found = json.loads(shown.output)
    assert (found["run"], found["best_score"]) == (str(SMALL), str(LARGE))
    assert [row["accuracy"] for row in found["candidates"]] == [0.9, 0.88, 0.5]
    assert found["candidates"][1]["behind_by"] == 0.02


@pytest.mark.usefixtures("study")
def test_faults() -> None:
    with pytest.raises(ParameterError, match="has no 'review'; did you mean 'reviews'"):
        recommendation.recommend(config.load(), "review")
    paths.predictions(SMALL).unlink()
    with pytest.raises(SourceError, match=r"lora/0\.5-0/predictions.jsonl: is not there yet"):
        recommend()
