"""How answers are read and judged, in each mode, on a tiny random model."""

import math
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from tunebench import evaluation, metrics, models
from tunebench.config.schema import Evaluation, PromptingMethod
from tunebench.errors import EvaluationError
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt

LABELS = ["positive", "very negative"]
ASK = PromptingMethod(kind="prompting")


def answering(labels: list[str], **settings: Any) -> Answering:
    options = {"do_sample": False, "max_new_tokens": 6}
    return Answering(labels, Evaluation(**settings), options)


def outcome(
    tiny: models.Base, prompts: list[Prompt], labels: list[str], **settings: Any
) -> evaluation.Outcome:
    return evaluation.evaluate(tiny, ASK, answering(labels, **settings), prompts)


@pytest.fixture
def prompts(make_prompts: Callable[..., list[Prompt]]) -> list[Prompt]:
    names = {"positive": "positive", "negative": "very negative"}
    return [
        Prompt(id=each.id, prompt=each.prompt, completion=name, label=name, data=each.data)
        for each in make_prompts(6)
        for name in [names[str(each.label)]]
    ]


def test_scored_labels(tiny: models.Base, prompts: list[Prompt]) -> None:
    found = outcome(tiny, prompts, LABELS)
    assert list(found.metrics)[:6] == [
        "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high",
    ]  # fmt: skip
    assert set(found.metrics["per_class"]) == set(LABELS)
    assert 0 <= found.metrics["ece"] <= 1
    assert 0 <= found.metrics["brier"] <= 2
    assert "undefined" not in found.metrics
    for prompt, row in zip(prompts, found.predictions, strict=True):
        assert row["id"] == prompt.id
        assert row["prompt_sha256"] == sha256(prompt.prompt.encode()).hexdigest()
        assert row["gold"] == prompt.label
        assert row["answer"] == max(row["scores"], key=row["scores"].get)
        assert "scores_normalized" not in row


@pytest.mark.parametrize(("unit", "lengths"), [("tokens", None), ("bytes", [8, 13])])
def test_normalized_scores_stand_beside_the_sums(
    unit: str, lengths: list[int] | None, tiny: models.Base, prompts: list[Prompt]
) -> None:
    plain = outcome(tiny, prompts, LABELS).predictions
    found = outcome(tiny, prompts, LABELS, label_normalization=unit).predictions
    tokenizer = models.load_tokenizer(tiny)
    lengths = lengths or [
        len(tokenizer(f" {label}", add_special_tokens=False)["input_ids"]) for label in LABELS
    ]
    for row, raw in zip(found, plain, strict=True):
        assert row["scores"] == raw["scores"]
        for label, length in zip(LABELS, lengths, strict=True):
            normal = row["scores_normalized"][label]
            assert normal == pytest.approx(row["scores"][label] / length, abs=1e-4)
        assert row["answer"] == max(LABELS, key=row["scores_normalized"].get)


def test_written_labels(tiny: models.Base, prompts: list[Prompt]) -> None:
    found = outcome(tiny, prompts, LABELS, mode="generate")
    assert found.metrics["no_label"] == 1.0
    assert found.metrics["accuracy"] == found.metrics["accuracy_strict"] == 0.0
    assert found.metrics["output_tokens_mean"] > 1
    assert "ece" not in found.metrics
    assert all(row["answer"] is None and row["text"] for row in found.predictions)


def test_what_is_written_is_matched(
    tiny: models.Base, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["positive", "Very negative!", "positive", "negative", "", "very negative"]
    written = [evaluation.generation.Text(text, 2) for text in texts]
    monkeypatch.setattr(evaluation.generation, "generate", lambda *_, **__: written)
    found = outcome(tiny, prompts, LABELS, mode="generate").metrics
    assert [prompt.label for prompt in prompts] == LABELS * 3
    assert found["accuracy"] == pytest.approx(4 / 6, abs=1e-5)
    assert found["accuracy_strict"] == pytest.approx(3 / 6)
    assert found["no_label"] == pytest.approx(2 / 6, abs=1e-5)


def test_rows_without_an_answer_are_no_class() -> None:
    gold = ["positive"] * 100 + ["very negative"] * 100
    predictions = [
        {"gold": label, "answer": label if index else None, "strict": True, "tokens_out": 2}
        for index, label in enumerate(gold)
    ]
    found = evaluation.judge(predictions, answering(LABELS, mode="generate"))
    assert found["accuracy"] == 0.995
    assert found["macro_f1"] == pytest.approx((198 / 199 + 1) / 2, abs=1e-5)
    assert found["macro_f1_low"] < found["macro_f1"] < found["macro_f1_high"]
    assert found["no_label"] == 0.005
    assert set(found["per_class"]) == set(LABELS)


def test_summaries(tiny: models.Base, prompts: list[Prompt]) -> None:
    texts = [
        Prompt(id=prompt.id, prompt=prompt.prompt, completion="a warm film") for prompt in prompts
    ]
    found = outcome(tiny, texts, [])
    for name in metrics.ROUGE:
        low, high = (found.metrics[end] for end in metrics.interval(name))
        assert low <= found.metrics[name] <= high
        mean = sum(row["rouge"][name] for row in found.predictions) / len(texts)
        assert mean == pytest.approx(found.metrics[name], abs=1e-5)
    assert found.metrics["output_tokens_mean"] <= 6
    assert {row["gold"] for row in found.predictions} == {"a warm film"}
    assert found.metrics["rouge_tokenization"] == "rouge-score"


@pytest.mark.parametrize(
    ("text", "tokenization"),
    [("тёплый фильм", "unicode_words"), ("温暖的电影", "unicode_words_and_characters")],
)
def test_summaries_in_other_scripts_say_how_they_were_read(text: str, tokenization: str) -> None:
    found = evaluation.judge([{"gold": text, "answer": text, "tokens_out": 2}], answering([]))
    assert found["rouge_tokenization"] == tokenization
    assert found["rouge1"] == found["rougeLsum"] == 1.0


def test_one_label_in_the_test_rows(tiny: models.Base, prompts: list[Prompt]) -> None:
    alike = [prompt for prompt in prompts if prompt.label == "positive"]
    found = outcome(tiny, alike, LABELS).metrics
    assert "macro_f1" not in found
    assert found["undefined"] == "macro_f1: the test rows have one label only"
    assert math.isfinite(found["accuracy"])


def test_no_rows_are_no_result(tiny: models.Base) -> None:
    with pytest.raises(EvaluationError) as caught:
        outcome(tiny, [], LABELS)
    assert str(caught.value) == "there are no rows to answer; give the data set test rows"
