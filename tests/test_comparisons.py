"""Pairs of methods on the same rows: differences, tests, and what they can tell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from tunebench import config, paths, results
from tunebench.errors import EvaluationError
from tunebench.metrics import paired
from tunebench.paths import Run
from tunebench.report import comparisons, confusion
from tunebench.report.summary import Record

ROWS = 40


def write(run: Run, right: list[bool], ids: range = range(ROWS)) -> None:
    """Predictions that are right on some rows; each gold label is `positive`."""
    answers = ["positive" if each else "negative" for each in right]
    results.write_lines(
        paths.predictions(run),
        [
            {"id": f"test-{index}", "gold": "positive", "answer": answer}
            for index, answer in zip(ids, answers, strict=True)
        ],
    )


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Any:
    valid["grid"] |= {"train_sizes": [1.0], "prompting": ["zero_shot", "few_shot"]}
    project.write_params(valid)
    write(Run("tiny", "reviews", "zero_shot"), [index % 2 == 0 for index in range(ROWS)])
    write(
        Run("tiny", "reviews", "few_shot"), [index % 2 == 0 or index < 4 for index in range(ROWS)]
    )
    write(Run("tiny", "reviews", "lora", 1.0, 0), [index != 7 for index in range(ROWS)])
    return config.load()


def test_pairs_of_single_runs(params: Any) -> None:
    rows = comparisons.build(params)["comparisons"]
    assert [(row["method"], row["other"]) for row in rows] == [
        ("zero_shot", "few_shot"),
        ("zero_shot", "lora"),
        ("few_shot", "lora"),
    ]
    near, far, _ = rows
    assert near["difference"] == pytest.approx(-0.05)
    assert near["difference_low"] < -0.05 < 0 <= near["difference_high"]
    # two rows tell them apart, both for few_shot: twice a half squared
    assert near["p"] == pytest.approx(0.5)
    assert near["distinguishable"] == "no"
    # on 19 rows one of them is right, always lora: row 7 neither
    assert far["difference"] == pytest.approx(-0.475)
    assert far["p"] == pytest.approx(2 * 0.5**19, rel=1e-2)
    assert far["distinguishable"] == "yes"
    assert [row["train_size"] for row in rows] == ["0", 1.0, 1.0]
    assert {row["metric"] for row in rows} == {"accuracy"}
    assert far["p_adjusted"] == pytest.approx(3 * far["p"], rel=1e-2)


def test_prompting_methods_are_compared_once(
    project: Any, valid: dict[str, Any], params: Any
) -> None:
    valid["grid"]["train_sizes"] = [0.5, 1.0]
    project.write_params(valid)
    write(Run("tiny", "reviews", "lora", 0.5, 0), [index > 9 for index in range(ROWS)])
    rows = comparisons.build(config.load())["comparisons"]
    found = [(row["train_size"], row["method"], row["other"]) for row in rows]
    assert found == [
        ("0", "zero_shot", "few_shot"),
        (0.5, "zero_shot", "lora"),
        (0.5, "few_shot", "lora"),
        (1.0, "zero_shot", "lora"),
        (1.0, "few_shot", "lora"),
    ]


def test_other_test_rows_are_refused(params: Any) -> None:
    write(Run("tiny", "reviews", "lora", 1.0, 0), [True] * ROWS, range(1, ROWS + 1))
    with pytest.raises(
        EvaluationError, match=r"lora/1.0-0/predictions.jsonl: is of other test rows than"
    ):
        comparisons.build(params)


def test_method_that_did_not_fit_is_left_out(params: Any) -> None:
    results.write_lines(paths.predictions(Run("tiny", "reviews", "few_shot")), [])
    rows = comparisons.build(params)["comparisons"]
    assert [(row["method"], row["other"]) for row in rows] == [("zero_shot", "lora")]


def test_several_seeds_widen_the_interval(project: Any, valid: dict[str, Any], params: Any) -> None:
    (alone,) = comparisons.build(params)["comparisons"][1:2]
    valid["grid"]["seeds"] = [0, 1, 2]
    project.write_params(valid)
    for seed, wrong in ((1, 14), (2, 2)):
        run = Run("tiny", "reviews", "lora", 1.0, seed)
        write(run, [index >= wrong for index in range(ROWS)])
    (several,) = comparisons.build(config.load())["comparisons"][1:2]
    assert several["difference"] == pytest.approx(0.5 - (39 + 26 + 38) / 120, abs=1e-4)
    wide, narrow = (row["difference_high"] - row["difference_low"] for row in (several, alone))
    assert wide > narrow


def test_summaries_are_compared_by_rouge(project: Any, valid: dict[str, Any]) -> None:
    valid["datasets"]["reviews"] |= {
        "task": "summarization",
        "columns": {"text": "text", "summary": "label"},
    }
    valid["grid"] |= {"tuning": [], "train_sizes": [], "seeds": []}
    project.write_params(valid)
    for name, shift in (("zero_shot", 0.0), ("few_shot", 0.1)):
        results.write_lines(
            paths.predictions(Run("tiny", "reviews", name)),
            [
                {"id": str(index), "gold": "x", "answer": "y",
                 "rouge": {"rouge1": 0.2 + shift + (index % 5) / 100}}
                for index in range(ROWS)
            ],
        )  # fmt: skip
    (row,) = comparisons.build(config.load())["comparisons"]
    assert row["difference"] == pytest.approx(-0.1)
    assert (row["metric"], row["train_size"]) == ("rouge1", "0")
    # each row differs by 0.1: as good as none does if 1 in 1.1 rows is drawn forty times
    assert row["p"] == pytest.approx(2 * 1.1**-40, rel=1e-2)
    assert row["difference_high"] < 0


def test_confusion_counts(params: Any) -> None:
    rows = confusion.build(params)
    assert rows[:2] == [
        {"panel": "tiny, reviews: zero_shot", "gold": "positive", "answer": "negative", "rows": 20},
        {"panel": "tiny, reviews: zero_shot", "gold": "positive", "answer": "positive", "rows": 20},
    ]
    assert sum(row["rows"] for row in rows) == 3 * ROWS


def test_rows_without_an_answer_are_no_label_that_reads_so(params: Any) -> None:
    rows = [("(no label)", "(no label)"), ("(no label)", None), ("spam", None), ("spam", "spam")]
    unanswered = [
        {"id": str(index), "gold": gold, "answer": answer}
        for index, (gold, answer) in enumerate(rows)
    ]
    run = Run("tiny", "reviews", "zero_shot")
    results.write_lines(paths.predictions(run), unanswered)
    found = [
        (row["gold"], row["answer"], row["rows"])
        for row in confusion.build(params)
        if row["panel"] == "tiny, reviews: zero_shot"
    ]
    assert found == [
        ("(no label)", "((no label))", 1),
        ("(no label)", "(no label)", 1),
        ("spam", "((no label))", 1),
        ("spam", "spam", 1),
    ]
    other = [row | {"answer": row["gold"]} for row in unanswered]
    for run in (Run("tiny", "reviews", "few_shot"), Run("tiny", "reviews", "lora", 1.0, 0)):
        results.write_lines(paths.predictions(run), other)
    # of four rows two are right, and four
    assert comparisons.build(params)["comparisons"][0]["difference"] == -0.5


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.9, 0.001], [0.9, 0.002]),
        ([0.02, 0.02, 0.9], [0.06, 0.06, 0.9]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert paired.holm(p_values) == pytest.approx(adjusted)


def test_mcnemar_equals_the_sign_test() -> None:
    ours = [1.0] * 9 + [0.0] * 1 + [1.0] * 20
    theirs = [0.0] * 9 + [1.0] * 1 + [1.0] * 20
    assert paired.compare([ours], [theirs]).p == pytest.approx(2 * (1 + 10) / 2**10)
    assert paired.compare([ours], [ours]).p == 1.0


@pytest.mark.parametrize("rows", [3, 20, 60, 400])
def test_an_interval_holds_zero_where_the_test_does_not_reject(rows: int) -> None:
    for wins in range(min(rows, 40) + 1):
        for losses in range(min(rows - wins, 40) + 1):
            found = paired.of_proportions(wins, losses, rows)
            low, high = found.interval
            assert low <= found.difference <= high
            assert (found.p >= 0.05) == (low <= 0 <= high), (wins, losses)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda seeds: st.lists(
            st.lists(st.integers(-4, 6), min_size=seeds, max_size=seeds), min_size=1, max_size=12
        )
    )
)
def test_means_over_rows_and_seeds_agree_with_their_p_value(rows: list[list[int]]) -> None:
    found = paired.of_means(np.array(rows, dtype=float).T / 10)
    low, high = found.interval
    assert low - 1e-9 <= found.difference <= high + 1e-9
    if abs(found.p - 0.05) > 1e-6:
        assert (found.p > 0.05) == (low < 0 < high)


def test_one_seed_is_the_paired_t_test() -> None:
    random = np.random.default_rng(2)
    first, second = random.random((2, 25))
    found = paired.compare([first.tolist()], [second.tolist()])
    known = ttest_rel(first, second)
    assert found.p == pytest.approx(known.pvalue, rel=1e-6)
    assert found.interval == pytest.approx(tuple(known.confidence_interval()))


def test_seeds_that_differ_hide_a_difference() -> None:
    random = np.random.default_rng(3)
    rejected = 0
    for _ in range(300):  # the same method twice; its seeds differ by 3.5 points
        runs = [
            (random.random(400) < 0.6 + random.normal(0, 0.035)).astype(float).tolist()
            for _ in range(6)
        ]
        rejected += paired.compare(runs[:3], runs[3:]).p < 0.05
    assert rejected <= 0.05 * 300 + 8  # 99% of Binomial(300, 0.05) is at most 24


def test_a_small_p_value_outlives_a_large_family() -> None:
    right, wrong = [1.0] * 60, [0.0] * 30 + [1.0] * 30
    p = paired.compare([right], [wrong]).p
    assert paired.holm([p] + [1.0] * 4999)[0] < 0.05
    spread = [[0.5 + row / 1000 for row in range(60)], [0.52 + row / 900 for row in range(60)]]
    assert paired.compare(spread, [[0.1] * 60]).p < 0.05


def test_seeds_of_different_number_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired.compare([[0.1, 0.2]] * 2, [[0.1, 0.2]] * 3)


def test_a_pair_with_an_optimistic_score_is_marked(params: Any) -> None:
    marked = {"epoch": "2", "epoch_chosen_on": "test rows: optimistic"}
    lora = Record(
        "tiny", "reviews", "classification", "lora", "1.0", 24, 1, {}, {}, {}, chosen=marked
    )
    rows = comparisons.build(params, [lora])["comparisons"]
    assert [row.get("epoch_chosen_on") for row in rows] == [None, *["test rows: optimistic"] * 2]


def test_a_family_is_one_model_and_data_set(params: Any) -> None:
    rows = comparisons.build(params)["comparisons"]
    assert {row["family"] for row in rows} == {"tiny, reviews: 3 pairs"}


def test_paths_of_the_plots_are_there() -> None:
    assert (Path(__file__).parents[1] / ".dvc" / "plots" / "confusion.json").exists()
