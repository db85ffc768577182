"""The parts of the report page: rows, scales, pairs, the answers that it reads."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from fake_results import Fake, study
from typer.testing import CliRunner
from versions import Versions

from tunebench import config, paths, results
from tunebench.cli import app
from tunebench.config.schema import Params
from tunebench.errors import SourceError
from tunebench.paths import Run
from tunebench.report import comparisons, predictions, recommendation, summary
from tunebench.report.page import (
    axes,
    charts,
    explorer,
    looks,
    pairs,
    runs,
    serving,
)


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A study of four methods at two sizes, and its results."""
    project.write_params(study(valid, prompting=2, tuning=2))
    params = config.load()
    Fake(rows=40).write(params)
    return params


def test_page_agrees_with_the_recommendation(params: Params) -> None:
    found = recommendation.recommend(params, "data_0")
    built = runs.build(params, summary.collect(params))
    (chosen,) = [run for run in built if run.chosen]
    assert chosen.record == found.chosen.record
    assert chosen.key == f"model_0/data_0/{chosen.record.method}/{chosen.record.train_size}"
    assert sum(run.good for run in built) == len(found.as_good) < len(built) == 6
    assert chosen.once and chosen.each
    total = chosen.once + chosen.each.times(recommendation.REQUESTS)
    assert total.usd == pytest.approx(found.chosen.usd)
    assert found.chosen.dollars
    assert total.high == pytest.approx(found.chosen.dollars.high)


def test_pairs_are_always_the_better_minus_the_worse(params: Params) -> None:
    built = runs.build(params, summary.collect(params))
    figure = pairs.build(built, comparisons.build(params)["comparisons"])
    assert figure is not None
    assert len(figure.rows) == 2 * 6  # 4 methods at each of 2 sizes
    assert list(figure.groups) == ["1,000 rows", "100 rows"]
    scores = {run.id: run.score.value for run in built if run.score}
    for row in figure.rows:
        assert row["difference"] == pytest.approx(
            scores[row["run"]] - scores[row["other"]], abs=0.01
        )
        assert row["difference"] >= 0


def test_rates_stand_beside_the_objective(params: Params) -> None:
    found = runs.build(params, summary.collect(params))
    look = looks.of(["shots_0", "lora_0", "lora_1"])
    table = [
        {"model": "model_0", "dataset": "data_0", "method": "lora_0", "offered_rps": rate,
         "latency_p50_s": rate / 10, "latency_p99_s": rate, "latency_p99_s_low": rate / 2,
         "latency_p99_s_high": 2 * rate, "verdict": verdict}
        for rate, verdict in ((1.0, "holds"), (2.0, "holds"), (4.0, "fails"))
    ]  # fmt: skip
    figure = serving.rates(params, found, look, table)
    assert figure is not None
    assert figure.title == "lora_0, 1,000 rows holds the objective up to 2 requests a second"
    kinds = [row["kind"] for row in figure.rows]
    assert (kinds.count("measured"), kinds.count("objective")) == (6, 1)
    assert [each.method for each in figure.legend] == ["lora_0"]
    assert "latency p99: 2 s" in figure.svg({"methods": [], "colours": [], "shapes": []})
    failed = serving.rates(params, found, look, table[2:])
    assert failed is not None and failed.title == "No rate is shown to meet the objective"
    assert serving.rates(params, found, look, []) is None


def test_every_specification_draws_and_names_its_values() -> None:
    known = charts.specs()
    assert len(known) == 12
    for name, spec in known.items():
        holes = set(re.findall(r'"<(\w+)>"', json.dumps(spec)))
        assert name == "config" or {"rows", "width"} <= holes


def test_chosen_rows_hold_each_runs_worst_errors() -> None:
    def answered(wrong: list[int]) -> predictions.Predictions:
        kinds = [predictions.WRONG if n in wrong else predictions.RIGHT for n in range(100)]
        merits = [(n not in wrong, float(n)) for n in range(100)]
        return predictions.Predictions(Run(), 100, [], [], {}, kinds, merits, None, [])

    first, second = answered([90, 91, 92]), answered(list(range(50)))
    chosen = explorer.choose([first, second], 8)
    assert len(chosen) == 8
    assert {90, 91, 92} <= set(chosen) and {0, 1, 2} <= set(chosen)
    assert len(explorer.choose([first], 50)) == 50
    assert explorer.choose([], 50) == []


def test_a_rows_text_is_what_its_prompt_alone_says(tmp_path: Path) -> None:
    prompts = [f"Do this.\nText: {text}\nAnswer: " for text in ("one", "another", "a third")]
    start, end = predictions._frame(prompts)
    assert [prompt[start : end or None].strip() for prompt in prompts] == [
        "Text: one", "Text: another", "Text: a third",
    ]  # fmt: skip
    assert predictions._frame(["same", "same"]) == (0, 0)
    assert predictions._frame(["one"]) == (0, 0)


def write_answers(project: Any, *rows: dict[str, Any]) -> Run:
    run = Run("tiny", "reviews", "zero_shot")
    results.write_lines(paths.predictions(run), rows)
    return run


def test_answers_are_read_with_their_confidence(project: Any) -> None:
    row = {"id": "a", "prompt": "p", "gold": "no", "answer": "yes", "tokens_in": 3}
    logs = {"scores": {"yes": -1, "no": -1 + math.log(0.25)}}
    right = row | {"id": "b", "gold": "yes"} | logs
    read = predictions.read(write_answers(project, row | logs, right, right | {"draw": 1}))
    assert read is not None
    assert read.rows == 2
    assert read.confidences == pytest.approx([0.8, 0.8])
    assert read.merits[0] == (False, pytest.approx(math.log(0.25)))
    assert read.merits[1] == (True, 0.0)
    assert read.worst == [0, 1]


def test_kinds_of_answers(project: Any) -> None:
    row = {"id": "a", "prompt": "p", "gold": "no", "answer": None, "strict": False, "ended": True}
    read = predictions.read(write_answers(
        project, row | {"text": " "}, row | {"text": "maybe"},
        row | {"text": "may", "ended": False},
        row | {"answer": "yes", "text": "Yes."}, row | {"answer": "no", "text": "No."},
    ))  # fmt: skip
    assert read is not None
    assert read.kinds == [predictions.EMPTY, predictions.NO_LABEL, predictions.CUT,
                          predictions.WRONG, predictions.RIGHT]  # fmt: skip
    assert read.confidences is None


def test_half_a_character_is_no_obstacle(project: Any) -> None:
    run = write_answers(project)
    line = '{"id": "a", "prompt": "p", "gold": "x\\ud83d", "answer": "x"}\n'
    paths.predictions(run).write_text(line)
    read = predictions.read(run)
    assert read is not None and read.gold == ["x?"]


def test_missing_and_damaged_answers_are_named(project: Any) -> None:
    run = write_answers(project)
    assert predictions.read(run) is None
    paths.predictions(run).write_text('{"id": "a"}\n{"id\n')
    with pytest.raises(SourceError, match="line 2"):
        predictions.read(run)
    paths.predictions(run).unlink()
    with pytest.raises(SourceError, match="is not there yet"):
        predictions.read(run)


@pytest.mark.parametrize(
    ("values", "kind", "ticks"),
    [
        ([1, 2, 3], "linear", None),
        ([0, 0], "linear", None),
        ([-1, 100], "linear", None),
        ([1, 1000], "log", [1, 3, 10, 30, 100, 300, 1000]),
        ([0, 1, 1000], "symlog", [0, 1, 3, 10, 30, 100, 300, 1000]),
    ],
)
def test_scales(values: list[float], kind: str, ticks: list[float] | None) -> None:
    found = axes.scale(values)
    assert (found["scale"]["type"], found["ticks"]) == (kind, ticks)


def test_pairs_without_comparisons_are_no_figure() -> None:
    assert pairs.build([], []) is None
    assert runs.axes([]) == []


def test_the_page_of_what_changed(params: Params, valid: dict[str, Any], project: Any) -> None:
    versions = Versions(project.folder)
    versions.params = study(valid, prompting=2, tuning=2)
    versions.results = summary.nest(summary.collect(params))
    versions.commit("start")
    versions.params["hardware"]["usd_per_hour"] = 4.0
    versions.write()
    asked = ["compare", "main", "--page", "changes.html"]

    done = CliRunner().invoke(app, asked)

    assert done.output.startswith("wrote changes.html: what changed since main")
    written = Path("changes.html").read_text()
    (section,) = re.findall(r'<section id="changes".*?</section>', written, re.DOTALL)
    assert "<td" in section.partition("hardware.usd_per_hour")[2].partition("</tr>")[0]
    assert section.count("the same") == 6  # every run's score
    assert 'href="#changes"' in written

    for wrong, said in (
        (["compare", "main", "HEAD", "--page", "two.html"], "leave the second REV out"),
        (["compare", "main", "--page", "params.yaml/changes.html"], "choose another file"),
    ):
        refused = CliRunner().invoke(app, wrong, env={"COLUMNS": "200"})
        assert refused.exit_code in (1, 2) and said in refused.output, refused.output
    assert not Path("two.html").exists()
