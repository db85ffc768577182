"""The report gathers hand-written metrics: means over seeds, tables, plots, a page that escapes."""

import csv
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunebench import config, paths, results, training
from tunebench.cli import app
from tunebench.config.schema import Params
from tunebench.errors import SourceError
from tunebench.paths import Run
from tunebench.report import (
    comparisons,
    confusion,
    digits,
    headlines,
    load_tests,
    page,
    published,
    summary,
    tables,
)

TRAINED = {
    "rows": 12,
    "steps": 3,
    "loss": 0.5,
    "train_s": 10.0,
    "machine_s": 12.0,
    "tokens_per_s": 100.0,
    "model_flops_per_s": 5e9,
    "model_flops_utilization": 0.25,
    "trainable_parameters": 512,
    "adapter_bytes": 4096,
    "peak_memory_bytes": 1000,
    "peak_memory_above_baseline_bytes": 600,
}
ANSWERS = [
    {"id": f"test-{index}", "prompt": f"Text: {index}", "gold": gold, "answer": answer}
    for index, (gold, answer) in enumerate([("positive", "positive"), ("negative", "positive")] * 4)
]
TIMED = {
    "latency_p50_s": 0.02,
    "latency_p50_s_low": 0.0195,
    "latency_p50_s_high": 0.0225,
    "latency_p90_s": 0.03,
    "latency_p99_s_needs": 368,
    "output_tokens_mean": 2.5,
    "requests_per_s_batch_1": 50.0,
    "requests_per_s_batch_8": 200.0,
    "requests_per_s_batch_8_low": 100.0,
    "requests_per_s_batch_8_high": 400.0,
    "load_s": 1.0,
    "peak_memory_bytes": 3000,
    "peak_memory_above_baseline_bytes": 1000,
}

MERGED = {
    "quantization": "nf4",
    "mergeable": True,
    "merge_s": 2.0,
    "merged_latency_p50_s": 0.01,
    "merged_latency_p50_s_low": 0.009,
    "merged_latency_p50_s_high": 0.011,
    "merged_requests_per_s_batch_1": 100.0,
    "merged_requests_per_s_batch_8": 500.0,
    "merged_requests_per_s_batch_32": 1000.0,
    "merged_answers_that_differ": 0.125,
}


def quality(accuracy: float) -> dict[str, float]:
    """Metrics of one evaluation, with an interval of three points to each side."""
    return {
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.03,
        "accuracy_high": accuracy + 0.03,
        "macro_f1": 0.5,
        "macro_f1_low": 0.25,
        "macro_f1_high": 0.75,
        "rows": 8,
    }


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A grid of two seeds and two sizes, and the metrics that its runs would have left."""
    valid["study"] = "<script>alert(1)</script>"
    valid["grid"] |= {"seeds": [0, 1], "prompting": ["zero_shot"]}
    valid["hardware"] = {"name": "a & b", "usd_per_hour": 3.6}
    project.write_params(valid)
    zero = Run("tiny", "reviews", "zero_shot")
    results.write_lines(paths.predictions(zero), ANSWERS)
    results.write(paths.evaluation(zero), quality(0.5))
    results.write(paths.timing(zero), TIMED)
    for size, rows in ((0.5, 12), (1.0, 24)):
        for seed in (0, 1):
            run = Run("tiny", "reviews", "lora", size, seed)
            results.write_lines(paths.predictions(run), ANSWERS)
            results.write(paths.evaluation(run), quality(0.6 + size / 10 + seed / 5))
            measured = {
                "rows": rows,
                "train_s": 10.0 + 10 * seed,
                "machine_s": 12.0 + 10 * seed,
                "peak_memory_bytes": 1000 + seed,
            }
            results.write(paths.train(run), TRAINED | measured)
            losses = [("loss", 2, 0.75 - seed / 2), ("eval_loss", 2, 0.9), ("loss", 3, 0.5)]
            history = [{"step": step, name: value} for name, step, value in losses]
            training.write_history(paths.history(run), history)
    results.write(paths.timing(Run("tiny", "reviews", "lora")), TIMED)
    return config.load()


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


def markup(path: Path) -> str:
    """A page without its data and scripts, which are its end."""
    return path.read_text(encoding="utf-8").partition("<script")[0]


class Cells(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "bdi", "title") and data.strip():
            self.texts.append(data)


def test_page_shows_the_tables_and_escapes_names(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = Cells()
    parsed.feed(text)
    assert parsed.tags.count("script") == 3  # data, the charts' library, the page's own
    assert "<script>alert(1)</script>" in parsed.texts
    assert "a &amp; b" in text
    assert {"75.0", "80.0", "20 ms", "$0.005"} <= set(parsed.texts)


def test_page_loads_nothing(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    sources = re.findall(
        r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]*)""", markup(tmp_path / "page.html")
    )
    assert len(sources) >= 10
    assert all(source.startswith(("#", "data:text/csv;base64,")) for source in sources)
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (0.8125, "accuracy", "81.2"),
        (0.5, "rouge1", "50.0"),
        (3_145_728, "adapter_bytes", "3.15 MB"),
        (2_500_000_000, "peak_memory_bytes", "2.5 GB"),
        (0.0123, "latency_p50_s", "12.3 ms"),
        (3.887, "train_s", "3.89 s"),
        (12350.0, "tokens_per_s", "12,350"),
        (7.25, "tokens_per_s", "7.25"),
        (8_312, "adapter_bytes", "8.31 kB"),
        (0.0, "usd_to_train", "$0"),
        (12345.6, "usd_at_10m", "$12,346"),
        (1_148_032, "trainable_parameters", "1,148,032"),
        ("lora", "method", "lora"),
        (None, "loss", ""),
        (0, "train_rows", "0"),
        (0.04159, "forgetting", "+0.042"),
        (-0.0104, "forgetting", "-0.010"),
    ],
)
def test_cell(value: Any, column: str, text: str) -> None:
    assert digits.cell(value, column) == text


def test_interval_stands_in_the_cell_of_its_metric(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<td>50.0<span class="interval">47.0–53.0</span></td>' in text
    columns = re.findall(r">([^<>]+)</button></th>", text)
    assert columns.count("accuracy stdev") == 1
    assert "accuracy low" not in columns


PUBLISHED = {
    "source": "a <paper>",
    "results": [
        {"model": "tiny", "dataset": "reviews", "method": "zero_shot", "accuracy": 0.485},
        {"model": "tiny", "dataset": "reviews", "method": "zero_shot", "macro_f1": 0.8},
        {
            "model": "tiny", "dataset": "reviews", "method": "lora",
            "train_size": 1.0, "accuracy": 0.81, "macro_f1": 0.1,
        },
        {
            "model": "tiny", "dataset": "reviews", "method": "full",
            "train_size": 1.0, "accuracy": 0.9,
        },
    ],
}  # fmt: skip


def test_published_stands_beside_measured(params: Params, project: Any, valid: Any) -> None:
    valid["published"] = PUBLISHED
    valid["grid"] |= {"seeds": [0], "prompting": ["zero_shot"]}
    project.write_params(valid)
    params = config.load()
    built = published.build(params.published, summary.collect(params))
    assert list(built) == ["published"]
    assert all(tuple(row) == published.COLUMNS for row in built["published"])
    found = [tuple(row.values())[2:] for row in built["published"]]
    assert found == [
        ("zero_shot", "0", "accuracy", 0.485, 0.5, 0.47, 0.53, 0.015, "yes"),
        ("zero_shot", "0", "macro_f1", 0.8, 0.5, 0.25, 0.75, -0.3, "no"),
        ("lora", "1.0", "accuracy", 0.81, 0.7, 0.67, 0.73, -0.11, "no"),
        ("lora", "1.0", "macro_f1", 0.1, 0.5, 0.25, 0.75, 0.4, "no"),
        ("full", "1.0", "accuracy", 0.9, "", "", "", "", ""),
    ]

    assert project.run("report").returncode == 0
    with (paths.TABLES / "published.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["published"] for row in rows] == ["0.485", "0.8", "0.81", "0.1", "0.9"]
    assert rows[0]["within"] == "yes"
    text = paths.PAGE.read_text(encoding="utf-8")
    assert "a &lt;paper&gt;" in text
    assert '<td>48.50</td><td>50.0<span class="interval">47.0–53.0</span></td><td>+1.5</td>' in text
    assert "<td>-30.0</td>" in text
    assert '<td>90.00</td><td></td><td></td><td class="text"></td>' in text


@pytest.mark.parametrize(
    ("failed", "note"),
    [
        ({"out_of_memory": True, "peak_memory_bytes": 23_400_000_000}, "out of memory at 23.4 GB"),
        (
            {"diverged": True, "step": 12, "learning_rate": 0.03},
            "diverged at step 12, learning rate 0.03",
        ),
    ],
)
def test_run_without_a_model_is_told_in_the_place_of_its_score(
    failed: dict[str, Any], note: str, params: Params
) -> None:
    run = Run("tiny", "reviews", "lora", 1.0, 1)  # one of two seeds
    results.write(paths.train(run), {"rows": 24, "machine_s": 6.0} | failed)
    results.write(paths.evaluation(run), failed)
    results.write_lines(paths.predictions(run), [])
    results.write(paths.timing(Run("tiny", "reviews", "lora")), failed)
    training.write_history(paths.history(run), [])
    records = summary.collect(params)
    # it cost the mean of 12 and 6 seconds, at 0.001 dollars each
    cost = {"machine_s": 9.0, "usd_to_train": 0.009}
    nested = summary.nest(records)["tiny"]["reviews"]
    assert nested["lora"]["1.0"] == {"note": note} | cost
    headline = headlines.build(records)[Path("reviews/lora-1.0.json")]
    assert headline["status"] == note.partition(" at ")[0]
    assert headline["accuracy"] is headline["train_s"] is None
    built = tables.build(records)
    (row,) = (row for row in built["classification"] if row["train_size"] == "1.0")
    assert (row["accuracy"], row["note"]) == (None, note)
    half, whole = built["training"]
    assert (half["train_size"], "note" in half) == ("0.5", False)
    assert {name: whole[name] for name in (*cost, "note")} == cost | {"note": note}
    assert "train_s" not in whole
    sizes = {row["train_size"] for row in comparisons.build(params)["comparisons"]}
    assert sizes == {0.5}
    curve = tables.plots(records, params)["learning_curve"]
    assert {(row["method"], row["train_rows"]) for row in curve} == {("zero_shot", 0), ("lora", 12)}
    page.write(paths.PAGE, params, records, built)
    text = paths.PAGE.read_text(encoding="utf-8")
    assert f'<td>9 s</td><td>$0.009</td><td class="text" colspan="7">{note}</td>' in text


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


def test_score_whose_epoch_the_test_rows_chose_is_marked_everywhere(
    params: Params, project: Any, valid: dict[str, Any]
) -> None:
    valid["published"] = PUBLISHED
    valid["evaluation"] = {"select": "best_test"}
    valid["training"]["save_strategy"] = "epoch"
    valid["inference"] |= {
        "load_test": {"tuning": ["lora"], "prompting": ["zero_shot"]},
        "server": "own",
        "servers": {"own": {"command": "serve {model} {port}"}},
    }
    project.write_params(valid)
    for size in (0.5, 1.0):
        for seed in (0, 1):
            chosen = {"epoch": 2, "epoch_chosen_on": "test", "optimistic": True}
            run = Run("tiny", "reviews", "lora", size, seed)
            results.write(paths.evaluation(run), quality(0.7) | chosen)
    for method in ("lora", "zero_shot"):
        tested = {"server": "own", "sustained_rps": 4.0, "bounded": True, "accuracy": 0.7}
        results.write(paths.load_test(Run("tiny", "reviews", method)), tested)
    params = config.load()
    records = summary.collect(params)
    assert {(record.method, record.optimistic) for record in records} == {
        ("zero_shot", False),
        ("lora", True),
    }
    marked = "test rows: optimistic"
    shown = (
        tables.build(records)["classification"]
        + load_tests.build(records, params)["load_test"]
        + [row for row in published.build(params.published, records)["published"] if row["within"]]
    )
    assert len(shown) == 3 + 2 + 4
    for row in shown:
        assert row.get("epoch_chosen_on") == (marked if row["method"] == "lora" else None), row
    assert summary.nest(records)["tiny"]["reviews"]["lora"]["0.5"]["epoch_chosen_on"] == marked
    assert {str(path): content["status"] for path, content in headlines.build(records).items()} == {
        "reviews/zero_shot.json": "ok",
        "reviews/lora-0.5.json": "optimistic",
        "reviews/lora-1.0.json": "optimistic",
    }
    curve = tables.plots(records, params)["learning_curve"]
    assert {row["method"] for row in curve} == {"zero_shot", "lora (optimistic)"}
    assert {row["panel"] for row in confusion.build(params)} == {
        "tiny, reviews: zero_shot",
        "tiny, reviews: lora (optimistic)",
    }


def test_nothing_published_makes_no_table(params: Params) -> None:
    assert published.build(None, summary.collect(params)) == {}


def test_what_does_not_fit_is_told_in_the_place_of_its_score(params: Params) -> None:
    unfit = {"does_not_fit": True, "tokens_needed": 4321, "tokens_available": 512}
    zero = Run("tiny", "reviews", "zero_shot")
    results.write_lines(paths.predictions(zero), ANSWERS)
    results.write(paths.evaluation(zero), unfit)
    results.write(paths.timing(zero), unfit)
    records = summary.collect(params)
    note = "does not fit: 4,321 tokens needed, 512 there are"
    assert records[0].note == note
    assert summary.nest(records)["tiny"]["reviews"]["zero_shot"]["0"] == {"note": note}

    built = tables.build(records)
    assert built["classification"][0]["note"] == note
    assert built["classification"][0]["accuracy"] is None
    assert [row["method"] for row in built["inference"]] == ["lora"]
    plots = tables.plots(records, params)
    assert {row["method"] for row in plots["learning_curve"]} == {"lora"}
    page.write(paths.PAGE, params, records, built)
    assert f'<td class="text" colspan="4">{note}</td>' in paths.PAGE.read_text(encoding="utf-8")


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
