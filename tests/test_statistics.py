"""Intervals against closed forms, by simulation, and their cost."""

import time
import tracemalloc
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tunebench import metrics
from tunebench.metrics import macro_f1, statistics


def test_a_mean_is_off_by_students_t() -> None:
    values = [0.2, 0.4, 0.6]  # standard error 0.2 / √3
    low, high = statistics.of_means({"x": values})["x"]
    assert high - 0.4 == pytest.approx(4.3027 * 0.2 / sqrt(3), abs=1e-4)
    assert low == 0.0  # a fraction


def test_a_proportion_has_an_interval_at_its_ends_too() -> None:
    # Wilson: n / (n + z²) at n of n
    assert statistics.of_proportion(25, 25) == pytest.approx((25 / (25 + 1.959964**2), 1.0))
    low, high = statistics.of_proportion(80, 100)
    assert (low, high) == pytest.approx((0.7112, 0.8666), abs=1e-4)


def test_a_proportion_has_scipys_interval() -> None:
    for hits, count in ((0, 1), (1, 1), (0, 40), (40, 40), (3, 7), (117, 900), (1, 25_000)):
        theirs = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        ours = statistics.of_proportion(hits, count)
        assert ours == pytest.approx((theirs.low, theirs.high), rel=1e-12, abs=1e-15)
    with pytest.raises(ValueError, match="no rows"):
        statistics.of_proportion(0, 0)


def test_accuracy_is_a_proportion() -> None:
    gold, answers = ["a"] * 50 + ["b"] * 50, ["a"] * 40 + ["b"] * 50 + ["a"] * 10
    found = metrics.classification_intervals(gold, answers)["accuracy"]
    assert found == statistics.of_proportion(80, 100)


@pytest.mark.parametrize(
    ("weights", "right", "rows"),
    [([1, 1], 0.95, 25), ([2, 1], 0.8, 25), ([6, 3, 2, 1], 0.9, 60), ([1] * 10, 0.8, 100)],
)
def test_macro_f1_is_within_its_interval(weights: list[int], right: float, rows: int) -> None:
    random = np.random.default_rng(11)
    share = np.array(weights) / sum(weights)
    others = (1 - np.eye(len(share))) / (len(share) - 1)
    cells = share[:, None] * (right * np.eye(len(share)) + (1 - right) * others)
    true = float(np.mean(2 * np.diag(cells) / (cells.sum(0) + cells.sum(1))))
    held = []
    for counts in random.multinomial(rows, cells.ravel(), size=200):
        drawn = [divmod(index, len(share)) for index, count in enumerate(counts)
                 for _ in range(count)]  # fmt: skip
        gold, answers = ([f"{label}" for label in column] for column in zip(*drawn, strict=True))
        low, high = macro_f1.interval(gold, answers)
        held.append(low <= true <= high)
    assert np.mean(held) >= 0.93


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
    cells, times = macro_f1._confusion(gold, answers)
    metric = metrics.classification(gold, answers, labels=["(no label)", *"abcdef"])
    if len(set(gold)) > 1:
        assert macro_f1._of_counts(times[None], cells)[0] == pytest.approx(metric["macro_f1"])
        low, high = macro_f1.interval(gold, answers)
        assert 0 <= low <= metric["macro_f1"] + 1e-9
        assert metric["macro_f1"] - 1e-9 <= high <= 1


def test_an_error_counts_against_two_labels_and_a_missing_answer_against_one() -> None:
    gold = ["a"] * 100 + ["b"] * 100
    cells, counts = macro_f1._confusion(gold, ["b", *gold[1:]])
    assert macro_f1._shared_errors(cells, counts) == pytest.approx(2, abs=0.05)
    cells, counts = macro_f1._confusion(gold, [None, *gold[1:]])
    assert macro_f1._shared_errors(cells, counts) == pytest.approx(1, abs=0.05)


def test_rows_that_are_all_alike_give_no_point() -> None:
    # at most 13.7% of all rows are of a kind that none of 25 is of, but for 2.5%
    share = 1 - 0.025 ** (1 / 25)
    found = statistics.of_means({"x": [0.25] * 25})["x"]
    assert found == pytest.approx((0.25 - 0.25 * share, 0.25 + 0.75 * share))
    gold = list("ab" * 12)
    low, high = metrics.classification_intervals(gold, gold)["macro_f1"]
    assert 0.8 < low < 0.9
    assert high == 1.0


def test_few_rows_a_label_are_noted() -> None:
    assert metrics.narrow_interval(["a"] * 20, ["a", "b"]) == ""
    note = metrics.narrow_interval(["a"] * 19, ["a", "b"])
    assert note == "too narrow: 2 labels need 20 test rows"


def test_the_same_every_time() -> None:
    values = {"x": [0.1, 0.5, 0.9, 0.4]}
    assert statistics.of_means(values) == statistics.of_means(values)
    labels = (["a", "b", "a"], ["a", "a", "b"])
    assert macro_f1.interval(*labels) == macro_f1.interval(*labels)


def test_two_thousand_rows_take_less_than_a_second_and_little_memory() -> None:
    random = np.random.default_rng(5)
    values = {name: random.random(2000).tolist() for name in ("1", "2", "L", "Lsum")}
    labels = [str(label) for label in random.integers(20, size=2000)]
    started = time.process_time()
    statistics.of_means(values)
    macro_f1.interval(labels, labels[::-1])
    assert time.process_time() - started < 2  # on a busy machine; 0.4 s on an idle one
    tracemalloc.start()
    macro_f1.interval(labels, labels[::-1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


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
        macro_f1.interval([], [])
    with pytest.raises(ValueError, match="2 means and 1 intervals"):
        statistics.over_seeds([0.1, 0.2], [(0.0, 0.3)])


def test_geometric_mean_has_the_interval_of_its_logarithms() -> None:
    mean, interval = statistics.of_geometric_mean([2.0, 4.0, 8.0])
    assert mean == pytest.approx(4)
    # 4.303 standard errors, of a standard deviation of log 2
    factor = 2 ** (4.303 / np.sqrt(3))
    assert interval == pytest.approx((4 / factor, 4 * factor), rel=1e-3)
    assert statistics.of_geometric_mean([3.0]) == (pytest.approx(3), None)
    drawn = np.random.default_rng(5).lognormal(1, 0.3, size=(4000, 3))
    intervals = [statistics.of_geometric_mean(row.tolist())[1] for row in drawn]
    held = [interval and interval[0] <= np.exp(1) <= interval[1] for interval in intervals]
    assert 0.94 <= np.mean(held) <= 0.96


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.95, 0.99])
def test_a_quantile_has_an_interval_where_the_sample_holds_one(fraction: float) -> None:
    needed = statistics.needed_for_quantile(fraction)
    assert statistics.of_quantile(range(needed - 1), fraction) is None
    for count in (needed, 2 * needed + 1):
        drawn = np.random.default_rng(5).random((4000, count))
        found = [statistics.of_quantile(row.tolist(), fraction) for row in drawn]
        held = [interval and interval[0] <= fraction <= interval[1] for interval in found]
        assert 0.945 <= np.mean(held) <= 0.99
