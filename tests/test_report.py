"""The report gathers metrics: means over seeds, tables, plots, every file."""

import csv
import math
import re
from pathlib import Path
from typing import Any

import pytest
from reported import MERGED, TIMED, TRAINED, markup, quality, written
from typer.testing import CliRunner

from tunebench import config, paths, results
from tunebench.cli import app
from tunebench.config.schema import Params
from tunebench.errors import SourceError
from tunebench.paths import Run
from tunebench.report import (
    page,
    summary,
    tables,
)


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A grid of two seeds and two sizes, and its results."""
    return written(project, valid)


def test_summary_holds_means_over_seeds(params: Params) -> None:
    nested = summary.nest(summary.collect(params))
    methods = nested["tiny"]["reviews"]
    assert {name: list(sizes) for name, sizes in methods.items()} == {
        "zero_shot": ["0"],
        "lora": ["0.5", "1.0"],
    }
    half = methods["lora"]["0.5"]
    # accuracies 0.65 and 0.85; seconds 10 and 20, at 0.001 dollars a second
    assert half["accuracy"] == pytest.approx(0.75)
    assert half["accuracy_stdev"] == pytest.approx(0.141)
    assert half["macro_f1_stdev"] == 0
    assert (half["macro_f1_low"], half["macro_f1_high"]) == (0.25, 0.75)
    # two seeds: the rows' 0.03, and Student's 12.7 standard errors of 0.1, as squares
    assert (half["accuracy_low"], half["accuracy_high"]) == (0, 1)
    zero = methods["zero_shot"]["0"]
    assert (zero["accuracy_low"], zero["accuracy_high"]) == (0.47, 0.53)
    assert (half["train_s"], half["usd_to_train"]) == (15.0, 0.017)
    assert half["train_peak_memory_bytes"] == 1001
    assert half["train_peak_memory_above_baseline_bytes"] == 600
    assert "rows" not in half


def test_inference_is_told_for_the_size_that_was_timed(params: Params) -> None:
    methods = summary.nest(summary.collect(params))["tiny"]["reviews"]
    assert "latency_p50_s" not in methods["lora"]["0.5"]
    for timed in (methods["lora"]["1.0"], methods["zero_shot"]["0"]):
        assert timed["latency_p50_s"] == 0.02
        assert timed["usd_per_1k_requests"] == 0.005  # 0.001 dollars a second, 200 requests in it
        # the interval of the fastest batch size, whichever has the highest end
        # half and twice the rate, and 1.96 times the 5% by which another run would differ
        factor = math.exp(math.hypot(math.log(2), 1.96 * 0.05))
        assert timed["usd_per_1k_requests_low"] == pytest.approx(0.005 / factor, rel=1e-3)
        assert timed["usd_per_1k_requests_high"] == pytest.approx(0.005 * factor, rel=1e-3)
        assert timed["output_tokens_mean"] == 2.5
        assert timed["inference_peak_memory_bytes"] == 3000
        assert timed["inference_peak_memory_above_baseline_bytes"] == 1000
    assert "accuracy_stdev" not in methods["zero_shot"]["0"]


def test_merged_model_has_a_row_of_its_own(params: Params, tmp_path: Path) -> None:
    results.write(paths.timing(Run("tiny", "reviews", "lora")), TIMED | MERGED)
    records = summary.collect(params)
    whole = summary.nest(records)["tiny"]["reviews"]["lora"]["1.0"]
    assert (whole["usd_per_1k_requests"], whole["merged_usd_per_1k_requests"]) == (0.005, 0.001)
    assert "merged_inference_peak_memory_bytes" not in whole
    zero, attached, merged = tables.build(records)["inference"]
    assert [(row["form"], row["quantization"]) for row in (zero, attached, merged)] == [
        ("", ""), ("attached", "nf4"), ("merged", ""),
    ]  # fmt: skip
    assert list(zero) == list(attached) == list(merged)
    assert list(merged)[6:] == [
        "form", "quantization", "output_tokens_mean", "latency_p50_s", "latency_p50_s_low",
        "latency_p50_s_high", "latency_p90_s", "latency_p99_s", "latency_p99_s_needs",
        "requests_per_s_batch_1", "requests_per_s_batch_8", "requests_per_s_batch_8_low",
        "requests_per_s_batch_8_high", "requests_per_s_batch_32", "inference_peak_memory_bytes",
        "inference_peak_memory_above_baseline_bytes", "usd_per_1k_requests",
        "usd_per_1k_requests_low", "usd_per_1k_requests_high", "answers_that_differ",
    ]  # fmt: skip
    assert (attached["latency_p50_s"], merged["latency_p50_s"]) == (0.02, 0.01)
    assert (attached["latency_p99_s"], attached["latency_p99_s_needs"]) == (None, 368)
    assert (attached["requests_per_s_batch_32"], merged["requests_per_s_batch_32"]) == (None, 1000)
    assert (attached["answers_that_differ"], merged["answers_that_differ"]) == (None, 0.125)

    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<td>20 ms<span class="interval">19.5 ms–22.5 ms</span></td>' in text
    assert '<td class="text">merged</td>' in text
    assert text.count("Attached: with the adapter") == 1
    assert "latency p50 s low" not in text
    assert text.count("needs 368 prompts") == 2
    assert not re.search(r"needs(</button>)?</th>", text)


def test_merged_model_without_memory_is_told_in_its_row(params: Params, tmp_path: Path) -> None:
    failed = {"mergeable": True, "merged_out_of_memory": True}
    results.write(paths.timing(Run("tiny", "reviews", "lora")), TIMED | failed)
    records = summary.collect(params)
    built = tables.build(records)
    *_, merged = built["inference"]
    assert (merged["form"], merged["latency_p50_s"]) == ("merged", None)
    page.write(tmp_path / "page.html", params, records, built)
    assert ">out of memory</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_model_that_was_timed_in_no_batch_has_no_price_of_answering(params: Params) -> None:
    single = {name: value for name, value in TIMED.items() if "requests_per_s" not in name}
    ended = single | {"memory_ended_at_batch_size": 64}
    results.write(paths.timing(Run("tiny", "reviews", "lora")), ended)
    found = summary.nest(summary.collect(params))["tiny"]["reviews"]["lora"]["1.0"]
    assert found["latency_p50_s"] == 0.02
    assert "usd_per_1k_requests" not in found


def test_machine_without_a_price_has_no_dollars(
    params: Params, project: Any, valid: dict[str, Any], tmp_path: Path
) -> None:
    results.write(paths.timing(Run("tiny", "reviews", "lora")), TIMED | MERGED)

    def dollars() -> tuple[set[str], bool]:
        records = summary.collect(config.load())
        built = tables.build(records)
        columns = {name for rows in built.values() for row in rows for name in row}
        page.write(tmp_path / "page.html", config.load(), records, built)
        told = {name for record in records for name in record.training | record.inference}
        named = {name for name in columns | told if "usd" in name}
        return named, "$" in markup(tmp_path / "page.html")

    merged = "merged_usd_per_1k_requests"
    costs = {f"{name}{end}" for name in ("usd_per_1k_requests", merged)
             for end in ("", "_low", "_high")}  # fmt: skip
    assert dollars() == ({"usd_to_train", *costs}, True)
    valid["hardware"]["usd_per_hour"] = 0.0
    project.write_params(valid)
    assert dollars() == (set(), False)


def test_missing_metric_is_named(params: Params) -> None:
    path = paths.evaluation(Run("tiny", "reviews", "lora", 1.0, 1))
    path.unlink()
    with pytest.raises(SourceError) as caught:
        summary.collect(params)
    assert str(caught.value) == f"{path}: is not there yet; run `dvc repro`"


def test_tables(params: Params, tmp_path: Path) -> None:
    built = tables.build(summary.collect(params))
    found = {
        name: [(row["method"], row["train_size"], row["train_rows"], row["seeds"]) for row in rows]
        for name, rows in built.items()
    }
    zero, half, whole = ("zero_shot", "0", 0, 1), ("lora", "0.5", 12, 2), ("lora", "1.0", 24, 2)
    assert found == {
        "classification": [zero, half, whole],
        "training": [half, whole],
        "inference": [zero, whole],
    }
    tables.write(tmp_path / "table.csv", built["classification"])
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["accuracy"] for row in rows] == ["0.5", "0.75", "0.8"]
    assert [row["accuracy_stdev"] for row in rows] == ["", "0.141", "0.141"]


def test_plots(params: Params) -> None:
    plots = tables.plots(summary.collect(params), params)
    curve = [(row["method"], row["train_rows"], row["score"]) for row in plots["learning_curve"]]
    assert curve == [("zero_shot", 0, 0.5), ("lora", 12, 0.75), ("lora", 24, 0.8)]
    assert {row["panel"] for row in plots["learning_curve"]} == {"tiny, reviews: accuracy"}
    losses = [(row["panel"], row["method"], row["step"], row["loss"]) for row in plots["loss"]]
    assert losses == [
        (f"tiny, reviews: train size {size}", "lora", step, loss)
        for size in (0.5, 1.0)
        for step, loss in ((2, 0.75), (3, 0.5))
    ]


def test_every_trial_of_a_search_is_told_and_paid(params: Params) -> None:
    assert tables.searches(params) == {}
    trials = {
        "1": {"learning_rate": 0.01, "validation_loss": 0.5, "machine_s": 12.0},
        "2": {"learning_rate": 0.1, "diverged": True, "machine_s": 18.0},
    }
    for seed in (0, 1):
        searched = {"search": trials, "machine_s": 30.0, "chosen_trial": 1}
        results.write(paths.train(Run("tiny", "reviews", "lora", 0.5, seed)), TRAINED | searched)
    rows = tables.searches(params)["search"]
    assert [(row["seed"], row["learning_rate"], row["chosen"]) for row in rows] == [
        (0, 0.01, "yes"), (0, 0.1, "no"), (1, 0.01, "yes"), (1, 0.1, "no"),
    ]  # fmt: skip
    half, whole = (record.training for record in summary.collect(params)[1:])
    assert half["usd_to_train"] == 0.03  # 0.001 dollars a second
    assert half["machine_s"] == 30.0
    assert whole["usd_to_train"] == 0.017


def test_forgetting_is_shown_where_it_was_measured(params: Params) -> None:
    for seed in (0, 1):
        run = Run("tiny", "reviews", "lora", 1.0, seed)
        lost = {"forgetting_loss_after": 1.5, "forgetting": 0.25 + seed / 2}
        results.write(paths.evaluation(run), quality(0.7) | lost)
    records = summary.collect(params)
    methods = summary.nest(records)["tiny"]["reviews"]
    assert methods["lora"]["1.0"]["forgetting"] == 0.5
    assert "forgetting_loss_after" not in methods["lora"]["1.0"]
    assert "forgetting" not in methods["lora"]["0.5"] | methods["zero_shot"]["0"]

    built = tables.build(records)
    assert [row.get("forgetting") for row in built["classification"]] == [None, None, 0.5]
    page.write(paths.PAGE, params, records, built)
    text = paths.PAGE.read_text(encoding="utf-8")
    assert "<td>+0.500</td>" in text
    assert text.count("Forgetting: by how many nats") == 1


def test_stage_writes_every_file(params: Params, project: Any) -> None:
    done = project.run("report")
    assert (done.returncode, done.stdout) == (0, "")
    answered = CliRunner().invoke(app, ["answer"])
    assert done.stderr == answered.output
    assert done.stderr.startswith(
        "reviews, tiny\n  lora on 24 rows has the highest score: accuracy"
    )
    written = (str(paths.TABLES), str(paths.PLOTS))
    assert sorted(path for path in project.files() if path.startswith(written)) == [
        "metrics/plots/confusion.csv",
        "metrics/plots/costs.csv",
        "metrics/plots/learning_curve.csv",
        "metrics/plots/loss.csv",
        "metrics/tables/break_even.csv",
        "metrics/tables/classification.csv",
        "metrics/tables/comparisons.csv",
        "metrics/tables/costs.csv",
        "metrics/tables/deployment.csv",
        "metrics/tables/inference.csv",
        "metrics/tables/training.csv",
    ]
    assert results.read(paths.RESULTS)["tiny"]["reviews"]["lora"]["0.5"]["accuracy"] == 0.75
    first = project.files()
    assert project.run("report").returncode == 0
    assert project.files() == first
