"""Pairs of methods on the same rows: differences, tests, and what they can tell."""

from pathlib import Path
from typing import Any

import pytest

from tunebench import config, paths, results
from tunebench.errors import EvaluationError
from tunebench.metrics import statistics
from tunebench.paths import Run
from tunebench.report import comparisons, confusion

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
    assert near["difference_low"] <= -0.05 <= near["difference_high"] <= 0
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
    assert row["p"] == pytest.approx(2 / (statistics.DRAWS + 1), rel=1e-2)


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
    assert statistics.holm(p_values) == pytest.approx(adjusted)


def test_mcnemar_equals_the_sign_test() -> None:
    ours = [True] * 9 + [False] * 1 + [True] * 20
    theirs = [False] * 9 + [True] * 1 + [True] * 20
    assert statistics.mcnemar(ours, theirs) == pytest.approx(2 * (1 + 10) / 2**10)
    assert statistics.mcnemar(ours, ours) == 1.0


def test_paths_of_the_plots_are_there() -> None:
    assert (Path(__file__).parents[1] / ".dvc" / "plots" / "confusion.json").exists()
