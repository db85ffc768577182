"""Published numbers beside measured ones, and scores that are optimistic."""

import csv
from typing import Any

import pytest
from reported import quality, written

from tunebench import config, paths, results
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import (
    confusion,
    headlines,
    load_tests,
    published,
    summary,
    tables,
)

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
}  # fmt: skip  # fmt: skip


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A grid of two seeds and two sizes, and its results."""
    return written(project, valid)


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


def test_nothing_published_makes_no_table(params: Params) -> None:
    assert published.build(None, summary.collect(params)) == {}


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
