"""Metrics on cases small enough to work out by hand."""

import json
from math import log
from pathlib import Path

import pytest

from tunebench import metrics
from tunebench.metrics.words import sentences
from tunebench.report import prices

AB = ["a", "b"]


def test_accuracy_and_macro_f1() -> None:
    # a: 2 of 3 found, 2 of 2 right: F1 4/5; b: 1 of 1 found, 1 of 2 right: F1 2/3
    found = metrics.classification(["a", "a", "a", "b"], ["a", "a", "b", "b"], labels=AB)
    assert found == pytest.approx({"accuracy": 3 / 4, "macro_f1": (4 / 5 + 2 / 3) / 2})


def test_label_that_is_never_answered_counts_as_zero() -> None:
    found = metrics.classification(["a", "b"], ["a", "a"], labels=AB)
    assert found == pytest.approx({"accuracy": 1 / 2, "macro_f1": (2 / 3 + 0) / 2})


def test_no_answer_costs_recall_and_is_no_class() -> None:
    # 1 of 200 without an answer: its label has 99 of 100, precision 1, F1 198/199; the other has 1
    gold = ["a"] * 100 + ["b"] * 100
    found = metrics.classification(gold, [None, *gold[1:]], labels=AB)
    assert found == pytest.approx({"accuracy": 0.995, "macro_f1": (198 / 199 + 1) / 2})
    each = metrics.per_class(gold, [None, *gold[1:]], labels=AB)
    assert each["a"] == pytest.approx(
        {"precision": 1.0, "recall": 0.99, "f1": 198 / 199, "rows": 100}
    )


@pytest.mark.parametrize(
    ("gold", "answers", "macro_f1"),
    [
        (["a", "b"], [None, None], 0.0),
        (["a", "b"], ["a", "b"], 1.0),  # c has no F1: no row, no answer
        (["a", "b", "b"], ["a", "b", "c"], (1 + 2 / 3 + 0) / 3),  # c has no row and one answer
        (["a", "b", "c"], ["a", "b", None], 2 / 3),
    ],
)
def test_macro_f1_is_over_the_labels_that_have_one(
    gold: list[str], answers: list[str | None], macro_f1: float
) -> None:
    labels = ["a", "b", "c"]
    assert metrics.classification(gold, answers, labels=labels)["macro_f1"] == pytest.approx(
        macro_f1
    )
    each = metrics.per_class(gold, answers, labels=labels)
    assert sum(row["f1"] for row in each.values()) / len(each) == pytest.approx(macro_f1)


def test_label_that_reads_no_label_is_one() -> None:
    own = "(no label)"
    gold, answers = ["a", own, own], ["a", own, None]
    # (no label): 1 of 2 found, 1 of 1 right
    found = metrics.classification(gold, answers, labels=["a", own])
    assert found == pytest.approx({"accuracy": 2 / 3, "macro_f1": (1 + 2 / 3) / 2})
    assert metrics.per_class(gold, answers, labels=["a", own])[own]["precision"] == 1.0


def test_answer_that_is_no_label_of_the_task_is_an_error() -> None:
    with pytest.raises(KeyError, match="c"):
        metrics.classification(["a", "b"], ["a", "c"], labels=AB)


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
        "classification": metrics.classification(["a", "b"], ["a", "a"], labels=AB),
        "summarization": metrics.summarization(["a"], ["a"]),
    }
    assert all(metrics.HEADLINE[task] in names for task, names in found.items())
    assert {name for names in found.values() for name in names} == set(metrics.QUALITY)


def test_macro_f1_of_one_label_is_absent() -> None:
    assert metrics.classification(["a", "a"], ["a", "b"], labels=AB) == {"accuracy": 0.5}
    assert metrics.classification(["a", "a"], [None, "a"], labels=["a"]) == {"accuracy": 0.5}


def test_each_label_has_its_own() -> None:
    found = metrics.per_class(["a", "a", "b", "c"], ["a", "b", "b", "b"], labels=["d", *"abc"])
    assert found == {
        "a": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "rows": 2.0},
        "b": {"precision": pytest.approx(1 / 3), "recall": 1.0, "f1": 0.5, "rows": 1.0},
        "c": {"recall": 0.0, "f1": 0.0, "rows": 1.0},
    }


def test_calibration() -> None:
    # held for 0.8 and 0.6 sure; the first is right, the second is wrong
    scores = [{"a": log(0.8), "b": log(0.2)}, {"a": log(0.4), "b": log(0.6)}]
    found = metrics.calibration(scores, ["a", "a"])
    assert found["ece"] == pytest.approx((0.2 + 0.6) / 2)
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    # one bin: 0.7 sure on average, right half of the time
    assert metrics.calibration(scores, ["a", "a"], bins=1)["ece"] == pytest.approx(0.2)
    sure = metrics.calibration([{"a": 0.0, "b": -1e9}], ["a"])
    assert sure == {"ece": 0.0, "ece_if_calibrated": 0.0, "brier": 0.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sci.space", ("sci.space", True)),
        (" sci.space\nand more", ("sci.space", True)),
        ("Sci Space.", ("sci.space", False)),
        ("space", (None, False)),
        ("", (None, False)),
        ("...", (None, False)),
        ("C++", ("c++", False)),
    ],
)
def test_match(text: str, expected: tuple[str | None, bool]) -> None:
    assert metrics.match(text, ["sci.space", "rec.autos", "c++"]) == expected


def test_match_that_could_be_two_labels_is_none() -> None:
    assert metrics.match("C", ["c++", "c#"]) == (None, False)
    assert metrics.match("c#", ["c++", "c#"]) == ("c#", True)


def test_costs() -> None:
    assert prices.usd_to_train(1800, 4.0) == 2.0
    assert prices.usd_per_1k_requests(10, 3.6) == pytest.approx(0.1)


@pytest.mark.shared
def test_rouge_is_the_librarys_own_on_real_summaries() -> None:
    from rouge_score import rouge_scorer

    path = Path(__file__).parents[2] / "shared" / "data" / "samsum" / "test.json"
    rows = json.loads(path.read_text(encoding="utf-8"))[:501]
    gold = [row["summary"] for row in rows]
    answers = [*gold[1:], gold[0]]  # each answered by its neighbour's summary
    assert metrics.rouge_tokenization(gold) == "rouge-score"
    found = metrics.rouge(gold, answers)
    by_line = ["\n".join(sentences(text)) for text in gold]
    for name in metrics.ROUGE:
        scorer = rouge_scorer.RougeScorer([name])
        texts = by_line if name == "rougeLsum" else gold
        right = [
            scorer.score(right, text)[name].fmeasure
            for right, text in zip(texts, [*texts[1:], texts[0]], strict=True)
        ]
        assert found[name] == pytest.approx(right, abs=1e-9)
    assert sum(found["rougeLsum"]) > sum(found["rougeL"])
    assert 0.05 < sum(found["rouge1"]) / len(rows) < 0.5
