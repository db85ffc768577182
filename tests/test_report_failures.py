"""What has no score is said in the place of its score, in every table."""

from pathlib import Path
from typing import Any

import pytest
from reported import ANSWERS, written

from tunebench import paths, results, training
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import (
    comparisons,
    headlines,
    page,
    summary,
    tables,
)


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A grid of two seeds and two sizes, and its results."""
    return written(project, valid)


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
