"""`tunebench answer`: sentences held against cases that were computed by hand."""

import json
from typing import Any

import pytest
from scored import fail, first, write
from typer.testing import CliRunner

from tunebench import config, paths, results
from tunebench.cli import app
from tunebench.paths import Run
from tunebench.report import answer, comparisons, learning, recommendation, summary
from tunebench.report.answer import Answer

SMALL, LARGE = (Run("tiny", "reviews", "lora", size, 0) for size in (0.5, 1.0))
PROMPTED, SHOWN = (Run("tiny", "reviews", name) for name in ("zero_shot", "few_shot"))


def answers() -> list[Answer]:
    params = config.load()
    records = summary.collect(params)
    compared = comparisons.build(params, records).get("comparisons", [])
    return answer.build(params, records, compared, learning.build(params, records))


def said() -> list[str]:
    (only,) = answers()
    return only.sentences


@pytest.fixture
def study(project: Any, valid: dict[str, Any]) -> dict[str, Any]:
    """90, 88 and 50 of 100 test rows right: by lora on 24 rows and on 12, and without training."""
    valid["grid"] |= {"prompting": ["zero_shot"]}
    project.write_params(valid)
    write(LARGE, first(90), rows=24, train_s=200.0)
    write(SMALL, first(88), rows=12, train_s=100.0)
    write(PROMPTED, first(50), rate=10.0)
    return valid


@pytest.mark.usefixtures("study")
def test_a_tie_names_the_cheaper_run_and_what_it_saves() -> None:
    (found,) = answers()
    assert (found.dataset, found.model) == ("reviews", "tiny")
    assert (found.best, found.chosen) == (str(LARGE), str(SMALL))
    assert found.sentences == [
        "lora on 24 rows has the highest score: accuracy 90.0 (82.6 to 94.5).",
        # two rows tell them apart, both for the larger: 3/102 - 1/102, 1.96 standard errors around
        "These 100 test rows cannot tell it from lora on 12 rows (2.0 points lower, -1.9 to 5.8),"
        " which is cheaper for 100,000 requests: 18.3 min instead of 20 min in all, training"
        " 1.67 min instead of 3.33 min, requests about the same.",
        "These 100 test rows show all 2 differences between methods to be real.",
        "That more labelled rows would help is not shown: from 12 to 24 rows lora gained"
        " 2.0 points (-1.9 to 5.8).",
    ]


@pytest.mark.usefixtures("study")
def test_the_best_alone() -> None:
    write(SMALL, first(60), rows=12, train_s=100.0)
    assert said()[0] == (
        "lora on 24 rows is best: accuracy 90.0 (82.6 to 94.5);"
        " these 100 test rows tell it from all 2 others."
    )
    # thirty rows tell the two sizes apart, all for the larger: 31/102 - 1/102
    assert said()[2] == (
        "More labelled rows may help: from 12 to 24 rows lora gained 30.0 points (20.2 to 38.7);"
        " how far that goes on takes a third size."
    )


@pytest.mark.usefixtures("study")
def test_dearer_runs_of_the_same_rows_are_not_preferred_for_noise() -> None:
    """Where the timings do not tell the costs apart, the score decides, for `best` too."""
    write(PROMPTED, first(89), rate=104.0)
    write(SMALL, first(20), rows=12, train_s=100.0)
    (found,) = answers()
    assert found.chosen == str(PROMPTED)  # no rows to label, whatever the timings say
    write(LARGE, first(80), rows=24, train_s=0.1, rate=110.0)
    (found,) = answers()
    assert found.best == found.chosen == str(PROMPTED)
    assert recommendation.recommend(config.load(), "reviews").chosen.run == PROMPTED


@pytest.mark.parametrize(
    ("rates", "chosen", "claim"),
    [
        ((10, 5, 1), "zero_shot", "cannot tell it from 2 others, none of which is cheaper for"),
        ((10, 5, 10.1), "zero_shot", "none of which is shown to be cheaper for 100,000 requests."),
        ((10, 40, 41), "few_shot", "of these few_shot (1.0 points lower, -2.3 to 4.3) is the best"),
        ((10, 20, 60), "many_shot", "of these many_shot (2.0 points lower, -1.9 to 5.8) is the"),
    ],
)
def test_which_of_three_equals(
    study: dict[str, Any], project: Any, rates: tuple[float, ...], chosen: str, claim: str
) -> None:
    names = ["zero_shot", "few_shot", "many_shot"]
    study["methods"]["many_shot"] = {"kind": "prompting", "shots": 4}
    study["grid"] |= {"prompting": names, "tuning": [], "train_sizes": [], "seeds": []}
    project.write_params(study)
    for name, right, rate in zip(names, (90, 89, 88), rates, strict=True):
        write(Run("tiny", "reviews", name), first(right), rate=rate)
    (found,) = answers()
    assert found.chosen == f"tiny/reviews/{chosen}"
    assert claim in found.sentences[1]


def test_what_open_pairs_need(study: dict[str, Any], project: Any) -> None:
    study["grid"] |= {"prompting": ["zero_shot", "few_shot"], "tuning": []}
    study["grid"] |= {"train_sizes": [], "seeds": []}
    project.write_params(study)
    # 20 rows for one and 10 for the other: (1.96·√0.3 + 0.8416·√0.29)² / 0.1² = 233.1
    write(PROMPTED, [True] * 20 + [False] * 10 + [True] * 40 + [False] * 30)
    write(SHOWN, [False] * 20 + [True] * 10 + [True] * 40 + [False] * 30)
    assert said()[2:4] == [
        "These 100 test rows do not show whether the two methods differ; that would take about"
        " 230 test rows, if the difference is as large as it looks.",
        "Whether labelled rows would help is not known: no method was tuned.",
    ]
    write(SHOWN, first(60))
    write(PROMPTED, first(60)[::-1])
    assert "would take more than 100,000 test rows, too many to be worth it." in said()[2]


@pytest.mark.usefixtures("study")
def test_some_pairs_are_open() -> None:
    write(PROMPTED, first(87), rate=10.0)
    # of 88 and 90 against 87, Holm leaves both open: 5% over 2, a z of 2.2414;
    # of 3 rows (2.2414·√0.03 + 0.8416·√0.0291)² / 0.03² = 314, of one row 948
    assert said()[2] == (
        "Of 2 differences between methods, these 100 test rows show none to be real; the other 2"
        " would take about 310 to 950 test rows, if they are as large as they look."
    )


def test_one_method_and_one_size(study: dict[str, Any], project: Any) -> None:
    study["grid"] |= {"prompting": [], "train_sizes": [1.0]}
    project.write_params(study)
    write(LARGE, first(90), rows=24, train_s=200.0, labels="a")
    assert said() == [
        "lora on 24 rows is the only run with a score: accuracy 90.0 (82.6 to 94.5).",
        "Only one method has a score, so there are no two methods to compare.",
        "Whether more labelled rows would help is not known: lora has a score on 24 rows only; add"
        " a size to grid.train_sizes.",
        "All 100 test rows have the label 'a': the scores say nothing about telling it from"
        " others.",
    ]


@pytest.mark.usefixtures("study")
def test_runs_that_failed_are_named() -> None:
    fail(LARGE, rows=24)
    assert "1 run has none: lora on 24 rows (out of memory at 1 GB)." in said()
    fail(SMALL, rows=12)
    assert "Whether labelled rows would help is not known: no tuned run has a score." in said()


@pytest.mark.usefixtures("study")
def test_all_runs_failed() -> None:
    for run, rows in ((LARGE, 24), (SMALL, 12), (PROMPTED, 0)):
        fail(run, rows=rows)
    (found,) = answers()
    assert (found.best, found.chosen) == ("", "")
    assert found.sentences == [
        "No run has a score: zero_shot (out of memory at 1 GB), lora on 12 rows (out of memory at"
        " 1 GB), lora on 24 rows (out of memory at 1 GB)."
    ]
    shown = CliRunner().invoke(app, ["answer"])
    assert (shown.exit_code, shown.output.splitlines()[0]) == (0, "reviews, tiny")


def test_prices_are_in_dollars(study: dict[str, Any], project: Any) -> None:
    study["hardware"]["usd_per_hour"] = 3.6  # a tenth of a cent for a second
    study["cost"] = {"usd_per_label": 0.5}
    project.write_params(study)
    assert said()[1].endswith(
        "which is cheaper for 100,000 requests: $7.1 instead of $13.2 in all, labels $6 instead of"
        " $12, training $0.1 instead of $0.2, requests about the same."
    )


def test_two_models_agree_with_best(study: dict[str, Any], project: Any) -> None:
    study["models"]["other"] = study["models"]["tiny"]
    study["grid"]["models"] = ["tiny", "other"]
    project.write_params(study)
    for run, right in ((LARGE, 70), (SMALL, 40), (PROMPTED, 91)):
        other_model = Run("other", run.dataset, run.method, run.train_size, run.seed)
        write(other_model, first(right), rows=24, train_s=10.0)
    over, tiny, other = answers()
    assert [each.model for each in (over, tiny, other)] == ["", "tiny", "other"]
    assert over.title == "reviews, all models"
    assert over.sentences[0].startswith("other with zero_shot has the highest score: accuracy 91.0")
    recommended = recommendation.recommend(config.load(), "reviews")
    assert (over.best, over.chosen) == (str(recommended.best.run), str(recommended.chosen.run))
    assert (tiny.best, tiny.chosen) == (str(LARGE), str(SMALL))
    assert other.best == other.chosen == over.chosen


@pytest.mark.usefixtures("study")
def test_the_most_frequent_label_may_do_as_well() -> None:
    gold = ["b" * 80] * 60 + ["a"] * 40
    for run, right in ((LARGE, 65), (SMALL, 55), (PROMPTED, 50)):
        rows = [
            {"id": f"test-{index}", "gold": label, "answer": label if index < right else "c"}
            for index, label in enumerate(gold)
        ]
        write(run, first(right), rows=24, train_s=1.0)
        results.write_lines(paths.predictions(run), rows)
    assert said()[-1] == (
        f"Always answering '{'b' * 40}…' would score 60.0, and it is not shown that any run does"
        " better."
    )


def test_several_seeds(study: dict[str, Any], project: Any) -> None:
    study["grid"] |= {"seeds": [0, 1, 2], "train_sizes": [1.0]}
    project.write_params(study)
    for seed, right in enumerate((90, 60, 75)):
        write(Run("tiny", "reviews", "lora", 1.0, seed), first(right), rows=24, train_s=1.0)
    lines = said()
    assert "the mean over 3 seeds" in lines[0]
    # 25 points apart, but the seeds' means have a standard error of 8.7
    assert "that would take more seeds rather than more test rows" in lines[2]


@pytest.mark.usefixtures("study")
def test_it_is_printed_and_json() -> None:
    shown = CliRunner().invoke(app, ["answer", "reviews"])
    assert shown.output.splitlines() == ["reviews, tiny", *(f"  {each}" for each in said())]
    parsed = json.loads(CliRunner().invoke(app, ["answer", "--json"]).output)
    assert [set(each) for each in parsed] == [{"dataset", "model", "sentences", "best", "chosen"}]
    wrong = CliRunner().invoke(app, ["answer", "review"])
    assert wrong.exit_code == 1
    assert wrong.output == (
        "error: params.yaml: grid.datasets has no 'review'; did you mean 'reviews'?\n"
    )


def test_the_end_of_repro_prints_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    answer.show([Answer(f"set{number}", "tiny", ["One.", "Two."]) for number in range(9)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == ["set0, tiny", "  One.", "  Two.", ""]
    assert (len(lines), lines[-1]) == (16, "and 5 more: tunebench answer")
