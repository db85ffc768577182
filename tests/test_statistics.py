"""Intervals against closed forms, against scikit-learn on rows drawn by hand, and their cost."""

import time
import tracemalloc
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tunebench import metrics
from tunebench.metrics import statistics


def test_a_mean_is_off_by_two_standard_errors() -> None:
    values = np.random.default_rng(7).normal(0.5, 0.1, 400)
    low, high = statistics.of_means({"x": values.tolist()})["x"]
    error = values.std() / sqrt(len(values))
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.05 * error
    )


def test_all_metrics_come_from_the_same_draws() -> None:
    values = np.random.default_rng(1).random(50).tolist()
    found = statistics.of_means({"x": values, "twice": [2 * value for value in values]})
    assert found["twice"] == pytest.approx([2 * end for end in found["x"]])
    assert statistics.of_means({"x": values}) == {"x": found["x"]}


def test_accuracy_is_binomial() -> None:
    # 80 of 100 right: the middle 95% of Binomial(100, 0.8) are 72 to 87 or 88
    gold, answers = ["a"] * 50 + ["b"] * 50, ["a"] * 40 + ["b"] * 50 + ["a"] * 10
    found = statistics.of_confusion(gold, answers)["accuracy"]
    assert found == pytest.approx((0.72, 0.875), abs=0.006)


def test_confusion_counts_give_what_drawing_rows_gives() -> None:
    random = np.random.default_rng(3)
    gold = random.choice(["a", "b", "c"], 60, p=[0.6, 0.37, 0.03])
    answers = np.where(random.random(60) < 0.7, gold, random.choice(["a", "b", "d", "-"], 60))
    drawn = [random.integers(60, size=60) for _ in range(600)]
    accuracies = [accuracy_score(gold[rows], answers[rows]) for rows in drawn]
    over = {"labels": ["a", "b", "c", "d"], "average": "macro", "zero_division": np.nan}
    scores = [f1_score(gold[rows], answers[rows], **over) for rows in drawn]
    answered = [None if answer == "-" else answer for answer in answers.tolist()]
    assert answered.count(None) > 3
    found = statistics.of_confusion(gold.tolist(), answered)
    for name, values in (("accuracy", accuracies), ("macro_f1", scores)):
        expected = np.quantile(values, [0.025, 0.975])
        assert found[name] == pytest.approx(expected, abs=0.02), name


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.sampled_from(["a", "b", "c", "d", "(no label)", None])
        ),
        min_size=1,
    )
)
def test_what_is_drawn_is_the_metric(rows: list[tuple[str, str | None]]) -> None:
    gold, answers = (list(column) for column in zip(*rows, strict=True))
    cells, times = statistics._confusion(gold, answers)
    drawn = statistics._of_counts(times[None], cells)
    metric = metrics.classification(gold, answers, labels=["(no label)", *"abcdef"])
    assert drawn["accuracy"][0] == pytest.approx(metric["accuracy"])
    if len(set(gold)) > 1:
        assert drawn["macro_f1"][0] == pytest.approx(metric["macro_f1"])


def test_no_answer_is_no_class_in_any_draw() -> None:
    gold = ["a"] * 100 + ["b"] * 100
    low, high = statistics.of_confusion(gold, [None, *gold[1:]])["macro_f1"]
    assert 0.98 < low < (198 / 199 + 1) / 2 < high == 1.0


def test_rows_that_are_all_alike_give_a_point() -> None:
    assert statistics.of_means({"x": [0.25] * 9}) == {"x": (0.25, 0.25)}
    assert statistics.of_confusion(["a", "b"], ["a", "b"])["accuracy"] == (1.0, 1.0)


def test_the_same_every_time() -> None:
    values = {"x": [0.1, 0.5, 0.9, 0.4]}
    assert statistics.of_means(values) == statistics.of_means(values)
    labels = (["a", "b", "a"], ["a", "a", "b"])
    assert statistics.of_confusion(*labels) == statistics.of_confusion(*labels)


def test_two_thousand_rows_take_less_than_a_second_and_little_memory() -> None:
    random = np.random.default_rng(5)
    values = {name: random.random(2000).tolist() for name in ("1", "2", "L", "Lsum")}
    labels = [str(label) for label in random.integers(20, size=2000)]
    started = time.process_time()
    statistics.of_means(values)
    statistics.of_confusion(labels, labels[::-1])
    assert time.process_time() - started < 2  # on a busy machine; 0.4 s on an idle one
    tracemalloc.start()
    statistics.of_means(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_seeds_and_rows_add_as_squares() -> None:
    # standard error of three seeds 0.02 / √3, times 4.303 of Student's t; the rows are off by 0.03
    low, high = statistics.over_seeds(
        [0.68, 0.70, 0.72], [(0.65, 0.71), (0.67, 0.73), (0.69, 0.75)]
    )
    seeds = 4.3027 * 0.02 / sqrt(3)
    assert high - 0.7 == pytest.approx(sqrt(0.03**2 + seeds**2), abs=1e-4)
    assert 0.7 - low == pytest.approx(high - 0.7)


def test_one_seed_keeps_its_interval_and_a_fraction_stays_one() -> None:
    assert statistics.over_seeds([0.5], [(0.4, 0.6)]) == (0.4, 0.6)
    assert statistics.over_seeds([0.99, 0.95], [(0.98, 1.0), (0.93, 0.97)])[1] == 1.0


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        statistics.of_means({"x": []})
    with pytest.raises(ValueError, match="0 gold labels and 0 answers"):
        statistics.of_confusion([], [])
    with pytest.raises(ValueError, match="2 means and 1 intervals"):
        statistics.over_seeds([0.1, 0.2], [(0.0, 0.3)])


def test_median_has_the_interval_of_subjects_not_of_measurements() -> None:
    random = np.random.default_rng(5)
    subjects = random.normal(10, 2, size=40)
    once = statistics.of_median([subjects])
    thrice = statistics.of_median([subjects] * 3)
    assert thrice == once
    low, high = once
    assert low < np.median(subjects) < high
    # the order statistics between which the median lies in 96% of the cases: 14 to 27 of 40
    ranked = np.sort(subjects)
    assert ranked[12] <= low <= ranked[15]
    assert ranked[24] <= high <= ranked[27]


@pytest.mark.parametrize("rounds", [[], [[]], [[1.0, 2.0], [1.0]]])
def test_median_of_nothing_or_of_uneven_rounds_has_none(rounds: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"no values|inhomogeneous"):
        statistics.of_median(rounds)


def test_median_of_one_is_a_point() -> None:
    assert statistics.of_median([[3.0], [5.0]]) == (4.0, 4.0)


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.95, 0.99])
def test_a_quantile_has_an_interval_where_the_sample_holds_one(fraction: float) -> None:
    needed = statistics.needed_for_quantile(fraction)
    assert statistics.of_quantile(range(needed - 1), fraction) is None
    for count in (needed, 2 * needed + 1):
        drawn = np.random.default_rng(5).random((4000, count))
        found = [statistics.of_quantile(row.tolist(), fraction) for row in drawn]
        held = [interval and interval[0] <= fraction <= interval[1] for interval in found]
        assert 0.945 <= np.mean(held) <= 0.99
