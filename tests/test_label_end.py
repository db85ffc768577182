"""A label that begins another wins where it is the likelier answer, and only there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import trained

from tunebench import evaluation, metrics, models
from tunebench.answering import generation, scoring
from tunebench.config.schema import Evaluation, PromptingMethod
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt, batching, encoding
from tunebench.prompts.tokenization import Ids

SETS = [["1", "10"], ["refund", "refund fraud"], ["a", "ab", "abc", "b"], ["yes", "no"]]
TAILS = ["", "<|im_end|>", ".", "\n<|im_end|>", " and so on"]


def prompt(completion: str, lead: str = "", tail: str = "") -> Prompt:
    span = (len(lead), len(lead) + len(completion))
    return Prompt("x", "Is it so?\nAnswer:", lead + completion + tail, answer=span)


@settings(max_examples=1500, deadline=None)
@given(
    kind=st.sampled_from(["gpt2", "llama3", "llama2", "mistral", "gemma"]),
    labels=st.lists(
        st.sampled_from(["1", "10", "100", "yes", "no", "refund", "refund fraud", "good", "日本"])
        | st.text("ab1 ", min_size=1, max_size=4).map(str.strip).filter(bool),
        min_size=2,
        max_size=6,
        unique=True,
    ),
    lead=st.sampled_from(["", " ", "Label: ", "<|im_end|>\n"]),
    tail=st.sampled_from(TAILS),
)
def test_what_is_scored_is_what_is_taught(
    kind: str, labels: list[str], lead: str, tail: str
) -> None:
    """With an end all labels' tokens are training's; without one they begin so, none another."""
    tokenizer = trained(kind)
    taught = [answer for _, answer in encoding.completions(
        tokenizer, [prompt(label, lead, tail) for label in labels])]  # fmt: skip
    [always] = scoring.questions(tokenizer, [prompt("x", lead, tail)], labels, label_end="always")
    [found] = scoring.questions(tokenizer, [prompt("x", lead, tail)], labels)
    places = range(len(labels))
    assert [always.tree.answer(place) for place in places] == taught
    scored = [found.tree.answer(place) for place in places]
    assert not any(
        ours == theirs[: len(ours)]
        for ours, other in zip(scored, labels, strict=True)
        for theirs, label in zip(scored, labels, strict=True)
        if label != other
    )
    [bare] = scoring.questions(tokenizer, [prompt("x", lead, tail)], labels, label_end="never")
    unended = [bare.tree.answer(place) for place in places]
    needed = any(
        ours == theirs[: len(ours)]
        for i, ours in enumerate(unended) for j, theirs in enumerate(unended) if i != j
    )  # fmt: skip
    assert scored == (taught if needed else unended)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), unique=True))
def test_one_begins_another(answers: list[Ids]) -> None:
    assert encoding.one_begins_another(answers) == any(
        ours != theirs and theirs[: len(ours)] == ours for ours in answers for theirs in answers
    )


def constrained(model: Any, tokenizer: Any, asked: Prompt, labels: Sequence[str]) -> str:
    """The label that transformers writes where it may write nothing else, every beam kept."""
    import torch

    taught = [
        list(answer)
        for _, answer in encoding.completions(
            tokenizer, [replace(asked, completion=label, answer=None) for label in labels]
        )
    ]
    [context] = encoding.contexts(tokenizer, [asked])

    def allowed(_: int, ids: Any) -> list[int]:
        written = ids.tolist()[len(context) :]
        begun = [answer for answer in taught if answer[: len(written)] == written]
        return [answer[len(written)] for answer in begun if len(answer) > len(written)] or [2]

    ids = torch.tensor([context])
    with torch.inference_mode():
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            prefix_allowed_tokens_fn=allowed,
            num_beams=len(labels) + 1,
            do_sample=False,
            max_new_tokens=max(map(len, taught)),
            length_penalty=0.0,
            eos_token_id=2,
            pad_token_id=3,
        )
    written = found[0].tolist()[len(context) :]
    return labels[next(i for i, answer in enumerate(taught) if written[: len(answer)] == answer)]


@pytest.mark.parametrize("labels", SETS)
def test_scoring_and_constrained_writing_agree(
    labels: list[str], model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(8)
    scores = scoring.score(model, tokenizer, prompts, labels, batch_tokens=500, label_end="always")
    chosen = [labels[row.index(max(row))] for row in scores]
    assert chosen == [constrained(model, tokenizer, asked, labels) for asked in prompts]


@pytest.fixture(scope="module")
def taught(tiny: models.Base, tokenizer: Any) -> tuple[Any, list[Prompt]]:
    """The tiny model, tuned until it writes `1` for warm films and `10` for dull ones."""
    import torch

    tuned = models.load(tiny, PromptingMethod(kind="prompting"))
    prompts = [
        Prompt(f"{word} {place}", f"Text: the film number {place} was {word}\nAnswer:\n", answer)
        for place in range(6)
        for word, answer in (("warm", "1"), ("dull", "10"))
    ]
    rows = batching.examples(prompts, tokenizer, loss_on="completion")
    batch = batching.Collator(3)(rows)
    del batch["row_lengths"]
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=3e-3)
    for _ in range(60):
        loss = tuned(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss) < 0.05
    return tuned.eval(), prompts


def test_longer_label_wins_where_it_was_taught(
    taught: tuple[Any, list[Prompt]], tokenizer: Any
) -> None:
    """By scoring, by constrained writing and by free writing alike."""
    tuned, prompts = taught
    gold, labels = [asked.gold for asked in prompts], ["1", "10"]
    ended, bare = (
        scoring.score(tuned, tokenizer, prompts, labels, batch_tokens=500, label_end=way)
        for way in ("where_needed", "never")
    )
    assert [labels[row.index(max(row))] for row in ended] == gold
    assert all(row[0] >= row[1] for row in bare)  # whatever it was taught
    written = generation.generate(
        tuned, tokenizer, prompts, {"do_sample": False, "max_new_tokens": 5}, batch_tokens=500
    )
    assert [text.text for text in written] == gold
    assert all(text.ended for text in written)
    assert [constrained(tuned, tokenizer, asked, labels) for asked in prompts] == gold


def test_label_lengths_count_the_end(
    model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    labels = ["1", "10"]
    how = Answering(labels, Evaluation(label_normalization="tokens"), {})
    [row] = evaluation._score(model, tokenizer, make_prompts(1), how, None)
    [question] = scoring.questions(tokenizer, make_prompts(1), labels)
    for place, label in enumerate(labels):
        length = len(question.tree.answer(place))
        assert question.tree.answer(place)[-1] == tokenizer.eos_token_id
        assert row["scores_normalized"][label] == pytest.approx(
            row["scores"][label] / length, abs=1e-4
        )


@pytest.mark.parametrize(
    ("lead", "tail", "text", "answer"),
    [
        ("", "", " positive\n", "positive"),
        ("Label: ", "", "Label: positive", "positive"),
        ("Label: ", "", "positive", "positive"),
        ("Label: ", ".", "Label:\npositive.", "positive"),
        ("", "!\n", "very good!\n", "very good"),
        ("<think>\n\n</think>\n\n", "<|im_end|>", "<think>\n\n</think>\n\npositive", "positive"),
        ("<think>\n\n</think>\n\n", "", "<think>\nhm, negative?\n</think>\n\npositive", "positive"),
        ("\n</think>\n\n", "", "let me see\n</think>\n\npositive", "positive"),
        ("Answer: ", "", "The Answer: x", "The Answer: x"),
    ],
)
def test_words_around_an_answer_are_taken_off(lead: str, tail: str, text: str, answer: str) -> None:
    around = encoding.AnswerFormat.of(trained("llama3"), prompt("x", lead, tail))
    assert around.extract_answer(text) == answer


def test_thoughts_that_the_prompt_begins_are_taken_off() -> None:
    asked = Prompt("x", "Is it?<|assistant|><think>\n", "positive")
    around = encoding.AnswerFormat.of(trained("gpt2"), asked)
    assert around.extract_answer("It says so.\n</think>\n\npositive") == "positive"
    assert around.extract_answer("positive") == "positive"


@pytest.mark.parametrize("labels", [["positive", "negative"], []])
def test_what_is_written_is_judged_without_the_templates_words(
    labels: list[str], model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a model writes that has learned them: `Label: positive.`"""
    texts = ["Label: positive.", "Label: negative.", "Label:"]
    monkeypatch.setattr(
        generation,
        "generate",
        lambda *_, **__: [generation.Text(text, 4, ended=text != "Label:") for text in texts],
    )
    asked = [prompt(word, "Label: ", ".") for word in ("positive", "negative", "positive")]
    how = Answering(labels, Evaluation(mode="generate"), {"max_new_tokens": 4})
    found = evaluation._generate(model, tokenizer, asked, how, None)
    assert [row["answer"] for row in found][:2] == ["positive", "negative"]
    gold = [one.gold for one in asked]
    if labels:
        assert found[2]["answer"] is None
        assert found[0]["strict"]
    else:
        scores = metrics.rouge(gold, [row["answer"] for row in found])
        assert scores["rouge1"] == [1.0, 1.0, 0.0]
    assert evaluation.at_limit(found, how) == {
        "answers_at_limit": pytest.approx(1 / 3), "max_new_tokens": 4
    }  # fmt: skip
