"""Baselines in the report: beside each model's methods, once in tables and files."""

from pathlib import Path
from typing import Any

import pytest
from fake_results import Fake, study
from projects import Project

from stages import report
from tunebench import config, results
from tunebench.errors import SourceError
from tunebench.paths import BASELINE, Run
from tunebench.report import (
    answer,
    break_even,
    comparisons,
    confusion,
    costs,
    headlines,
    learning,
    recommendation,
    staleness,
    summary,
    tables,
)
from tunebench.report.page import looks, making, runs, volume

LABELS = ("positive", "negative")


@pytest.fixture
def params(valid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two models, two baselines of which one does not answer labels, and fake results of all."""
    monkeypatch.chdir(tmp_path)
    content = study(valid, models=2, tuning=1)
    content["methods"] |= {"linear": {"kind": "linear"}, "lead": {"kind": "lead"}}
    content["grid"]["baselines"] = ["lead", "linear"]
    content["cost"] = {"usd_per_label": 0.5}
    Project(tmp_path).write_params(content)
    loaded = config.load()
    Fake(LABELS, rows=40).write(loaded)
    return loaded


def test_a_baseline_runs_on_the_data_sets_of_its_task(params: Any) -> None:
    found = [run for run in staleness.runs(params) if run.model == BASELINE]
    assert list(map(str, found)) == [
        "baseline/data_0/linear/100-0", "baseline/data_0/linear/1000-0",
    ]  # fmt: skip


def test_it_is_compared_with_the_methods_of_each_model(params: Any) -> None:
    records = summary.collect(params)
    rows = comparisons.build(params, records)["comparisons"]
    beside = [(row["model"], row["method"], row["train_size"])
              for row in rows if row["other"] == "linear"]  # fmt: skip
    assert beside == [
        (model, method, size)
        for model in ("model_0", "model_1")
        for size in (100, 1000)
        for method in ("shots_0", "lora_0")
    ]
    even = break_even.build(records, params)["break_even"]
    pairs = [(row["method"], row["other"]) for row in even]
    assert pairs.count(("lora_0", "linear")) == 2


def test_it_has_one_record_for_each_size(params: Any) -> None:
    records = [record for record in summary.collect(params) if record.beside_models]
    assert [(record.model, record.train_rows) for record in records] == [
        (BASELINE, 100), (BASELINE, 1000),
    ]  # fmt: skip
    files = set(map(str, headlines.build(summary.collect(params))))
    assert {"baseline/data_0/linear-100.json", "model_1/data_0/lora_0-100.json"} <= files
    page_runs = runs.build(params, summary.collect(params))
    labels = [run.label for run in page_runs]
    assert labels[-2:] == ["linear, 100 rows", "linear, 1,000 rows"]
    assert labels[0] == "model_0: shots_0"
    grid = params.grid
    (figure,) = volume.build(
        params, page_runs, looks.of([*grid.prompting, *grid.tuning, *grid.baselines])
    )
    drawn = [row["label"] for row in figure.rows if row["kind"] == "line"]
    assert drawn.count("linear, 1,000 rows") == len(costs.DRAWN)


def test_plots_hold_it_in_each_model_s_panel(params: Any) -> None:
    records = summary.collect(params)
    curve = tables.plots(records, params)["learning_curve"]
    panels = {row["panel"] for row in curve if row["method"] == "linear"}
    assert panels == {f"model_{index}, data_0: accuracy" for index in range(2)}
    spent = costs.plot(records, params)["costs"]
    assert {row["panel"] for row in spent if row["method"] == "linear"} == {
        "model_0, data_0", "model_1, data_0",
    }  # fmt: skip
    assert "baseline, data_0: linear" in {row["panel"] for row in confusion.build(params)}


def test_the_answer_says_whether_a_model_is_needed(params: Any) -> None:
    records = summary.collect(params)
    rows = comparisons.build(params, records)["comparisons"]
    answers = answer.build(params, records, rows, learning.build(params, records))
    assert [each.model for each in answers] == ["", "model_0", "model_1"]
    said = [sentence for each in answers[1:] for sentence in each.sentences
            if "anguage model" in sentence]  # fmt: skip
    assert len(said) == 2
    assert not any("baseline with" in sentence for each in answers for sentence in each.sentences)


def test_it_may_be_the_run_to_use(params: Any) -> None:
    found = recommendation.recommend(params, "data_0")
    linear = next(each for each in found.candidates if str(each.run).endswith("linear/1000-0"))
    assert linear.run == Run(BASELINE, "data_0", "linear", 1000, 0)
    assert linear.machine_s is not None
    assert linear.usd_for_labels == 500


def test_the_page_says_how_it_was_made(params: Any) -> None:
    report.main(Run(), *(Path(name) for name in ("page", "heads", "all.json", "tables", "plots")))
    assert (Path("heads") / BASELINE / "data_0" / "linear-1000.json").exists()
    assert list(results.read(Path("all.json"))) == ["model_0", "model_1", BASELINE]
    made = {each.name: each.commands for each in making.runs(params)}
    assert made["baseline/data_0/linear/100-0"] == ["python -m stages.baselines --dataset data_0"]
    assert "linear" in (Path("page") / "index.html").read_text()


def test_results_of_other_settings_are_refused(params: Any) -> None:
    run = Run(BASELINE, "data_0", "linear", 100, 0)
    path, _ = next(staleness._expected(params, run))
    method = params.any_method("linear").model_dump() | {"C": [1.0]}
    results.write(path, {"settings": {"method": method}})
    with pytest.raises(SourceError, match=r"run\.json: was made with another method"):
        staleness.check(params)
