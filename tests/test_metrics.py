"""Metrics on cases small enough to work out by hand."""

import pytest

from tunebench import cost, evaluation, metrics


def test_accuracy_and_macro_f1() -> None:
    # a: 2 of 3 found, 2 of 2 right: F1 4/5; b: 1 of 1 found, 1 of 2 right: F1 2/3
    found = metrics.classification(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert found == pytest.approx({"accuracy": 3 / 4, "macro_f1": (4 / 5 + 2 / 3) / 2})


def test_label_that_is_never_answered_counts_as_zero() -> None:
    found = metrics.classification(["a", "b"], ["a", "a"])
    assert found == pytest.approx({"accuracy": 1 / 2, "macro_f1": (2 / 3 + 0) / 2})


def test_rouge() -> None:
    # 3 of 4 words and of 5 words: F1 2·(3/4·3/5)/(3/4+3/5) = 2/3; bigrams 1 of 3 and of 4: 2/7
    found = metrics.summarization(["the cat sat down"], ["the cat has sat on"])
    assert found == pytest.approx(
        {"rouge1": 2 / 3, "rouge2": 2 / 7, "rougeL": 2 / 3, "rougeLsum": 2 / 3}
    )


def test_rouge_is_a_mean_without_stemming() -> None:
    found = metrics.summarization(["a dog", "cats"], ["a dog", "cat"])
    assert found == {"rouge1": 0.5, "rouge2": 0.5, "rougeL": 0.5, "rougeLsum": 0.5}


def test_rouge_lsum_takes_each_line_for_a_sentence() -> None:
    found = metrics.summarization(["one two\nthree four"], ["three four\none two"])
    assert found["rougeL"] == pytest.approx(0.5)
    assert found["rougeLsum"] == pytest.approx(1.0)


def test_empty_answer_scores_nothing() -> None:
    assert set(metrics.summarization(["a b"], [""]).values()) == {0.0}


def test_rouge_of_each_row() -> None:
    found = metrics.rouge(["a dog", "cats"], ["a dog", "cat"])
    assert found == {name: [1.0, 0.0] for name in metrics.ROUGE}
    assert metrics.means(found) == metrics.summarization(["a dog", "cats"], ["a dog", "cat"])


def test_every_task_is_judged_by_a_metric_that_it_has() -> None:
    found = {
        "classification": metrics.classification(["a"], ["a"]),
        "summarization": metrics.summarization(["a"], ["a"]),
    }
    assert {task: metrics.HEADLINE[task] in names for task, names in found.items()} == {
        "classification": True,
        "summarization": True,
    }
    assert {name for names in found.values() for name in names} == set(metrics.QUALITY)


def test_costs() -> None:
    assert cost.usd_to_train(1800, 4.0) == 2.0
    assert cost.usd_per_1k_requests(10, 3.6) == pytest.approx(0.1)


def test_each_metric_stands_with_its_interval() -> None:
    found = evaluation.quality(["a"] * 80 + ["b"] * 20, ["a"] * 100, labelled=True)
    assert list(found) == [
        "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high",
    ]  # fmt: skip
    ends = (found["accuracy_low"], found["accuracy"], found["accuracy_high"])
    assert ends == pytest.approx((0.72, 0.8, 0.875), abs=0.006)
    found = evaluation.quality(["a b", "c d", "e"], ["a b", "c", "x"], labelled=False)
    assert len(found) == 12
    for name in metrics.ROUGE:
        low, high = (found[end] for end in metrics.interval(name))
        assert low <= found[name] <= high
