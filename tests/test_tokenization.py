"""The tokens of a prompt and of what follows it, for tokenizers of every kind.

What follows is encoded behind few prompts, and is the same as behind each.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vocabularies import KINDS, trained

from tunebench.answering import scoring
from tunebench.prompts import Prompt, batching, control_tokens, encoding, tokenization
from tunebench.prompts.tokenization import MarkedText

LABELS = ["positive", "negative", "very positive", "pos"]
PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared" / "tokenizers"


def asked(prompts: list[Prompt], labels: Sequence[str] = LABELS) -> tuple[Any, Any]:
    shown = [prompt.marked_prompt for prompt in prompts]
    return shown, [[prompt.completed_with(label) for label in labels] for prompt in prompts]


def behind_each(tokenizer: Any, shown: Any, choices: Any) -> list[Any]:
    """Each answer's tokens behind its prompt alone."""
    return [
        tuple(tuple(tokenization.encode_pair(tokenizer, prompt, text)[1]) for text in texts)
        for prompt, texts in zip(shown, choices, strict=True)
    ]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is encoded."""
    texts: list[str] = []
    encode_all = tokenization.encode_all

    def counted(tokenizer: Any, some: Sequence[MarkedText]) -> Any:
        texts.extend(text.text for text in some)
        return encode_all(tokenizer, some)

    monkeypatch.setattr(tokenization, "encode_all", counted)
    return texts


def test_prompts_that_end_alike_share_what_follows(
    tokenizer: Any, make_prompts: Callable[..., list[Prompt]], encoded: list[str]
) -> None:
    shown, choices = asked(make_prompts(12))
    contexts, answers = tokenization.encode_choices(tokenizer, shown, choices)
    assert len(encoded) == 12 + len(LABELS) + 11  # prompts; all behind one; one behind each other
    assert contexts == tokenization.contexts(tokenizer, shown)
    assert answers == behind_each(tokenizer, shown, choices)


def test_prompt_that_differs_after_all_is_encoded_whole(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization, "ENDING", 1)
    prompts = [
        Prompt(id="0", prompt="a film:", completion="x"),
        Prompt(id="1", prompt="the film:", completion="x"),
    ]
    shown, choices = asked(prompts, ["12", "3"])
    behind = tokenization.encode_all

    def far_sighted(tokenizer: Any, some: Sequence[MarkedText]) -> list[list[int]]:
        """Like a tokenizer that parts an answer by how the prompt began."""
        return [
            [*ids, 7] if text.text.startswith("the") and not text.text.endswith(":") else ids
            for text, ids in zip(some, behind(tokenizer, some), strict=True)
        ]

    monkeypatch.setattr(tokenization, "encode_all", far_sighted)
    _, answers = tokenization.encode_choices(tokenizer, shown, choices)
    assert [len(ids) for ids in answers[1]] == [len(ids) + 1 for ids in answers[0]]
    assert answers == behind_each(tokenizer, shown, choices)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["llama2", "llama3", "zephyr-mistral"])
@pytest.mark.parametrize("ending", ["\n\n### Response:\n", " -> ", "", ":", "\nAnswer:"])
def test_published_tokenizers(
    name: str, ending: str, make_prompts: Callable[..., list[Prompt]]
) -> None:
    tokenizer = tokenization.load(SHARED / name)
    words = ["warm and funny.", "dull", "12", "</s>", "a b c ", "ünï", "the end.", "very"]
    prompts = [
        Prompt(id=text, prompt=text + ending, completion="x", data=[(0, len(text))])
        for text in words
    ]
    # without an ending a label must not merge with the text
    labels = LABELS if ending else [f" {label}" for label in LABELS]
    shown, choices = asked(prompts, labels)
    _, answers = tokenization.encode_choices(tokenizer, shown, choices)
    assert answers == behind_each(tokenizer, shown, choices)


# how prompts end, how answers begin
ENDINGS = [
    *("", " ", "\n", "\n\n", ":", ": ", ":\n", ":\n\n", "?\n\n\n", " \n ", " -> ", "\t", "'"),
    *("a", "1", "12", "-", "<", "é", "日", "。", "😀", "👩\u200d"),
]
ANSWERS = [
    *("alpha", "yes", " yes", "no", "1", "10", "23", "-2", "\nno", "\n\nno", "yes\n", "|a", ". a"),
    *("s", "'s", "é", "да", "日本", "答", "😀", "</s>", "<|im_end|>yes"),
]
BODIES = [
    "Judge the text",
    "Was it good?",
    "12",
    "日本語",
    "It was. ",
    "schön",
    "<|im_end|>",
    "  two  ",
]


@cache
def tokenizers() -> dict[str, Any]:
    """Trained here, the project's own, and published ones where they are at hand."""
    found = {kind: trained(kind) for kind in KINDS}
    found["assets/tiny"] = tokenization.load(PROJECT / "assets" / "tiny")
    for folder in ("tokenizers/llama2", "tokenizers/llama3", "tokenizers/zephyr-mistral",
                   "models/reviews-3m", "models/stories-260k"):  # fmt: skip
        if (SHARED.parent / folder).exists():
            found[folder] = tokenization.load(SHARED.parent / folder)
    return found


@settings(max_examples=1500, deadline=None)
@given(data=st.data())
def test_no_token_spans_a_prompt_and_its_answer(data: Any) -> None:
    """All that meets a model has the same tokens, and they say what the two texts say."""
    name = data.draw(st.sampled_from(sorted(tokenizers())))
    tokenizer = tokenizers()[name]
    words = data.draw(st.sampled_from(BODIES))
    # what no vocabulary of a few hundred words knows, only bytes can say
    spells = name not in ("wordpiece", "unigram")
    letters = st.text(max_size=6) if spells else st.sampled_from(["yes", "no", "a b", "1"])
    ending = data.draw(st.sampled_from(ENDINGS) | (letters if spells else st.just(":")))
    answer = data.draw(st.sampled_from(ANSWERS) | letters.filter(str.strip))
    assume(spells or (answer.isascii() and (ending + words).isascii()))
    prompt = Prompt(
        id="x", prompt=words + ending, completion=answer, data=[(0, len(words))], answer=None
    )
    assume(
        tokenizer.decode(tokenization.encode(tokenizer, MarkedText.from_row(answer))[1:]).strip()
    )
    [context] = encoding.contexts(tokenizer, [prompt])
    [example] = batching.examples([prompt], tokenizer, loss_on="completion")
    [question] = scoring.questions(tokenizer, [prompt], [answer, "alpha"], label_end="never")
    learned = tuple(example["input_ids"][len(context) :])
    assert tuple(example["input_ids"][: len(context)]) == context == question.context
    assert learned == (*question.tree.answer(0), tokenizer.eos_token_id)
    assert tuple(label for label in example["labels"] if label >= 0) == learned

    def read(ids: Sequence[int]) -> str:
        text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return str(text if spells else text.replace(" ", ""))

    whole = tokenization.encode(tokenizer, prompt.marked_prompt + prompt.marked_completion)
    assert read([*context, *learned[:-1]]) == read(whole)
    control = set(control_tokens.vocabulary(tokenizer).values()) - {tokenizer.unk_token_id}
    assert [token for token in learned if token in control] == [tokenizer.eos_token_id]


def test_line_end_that_llama3_joins_to_a_mark_stays_with_the_prompt() -> None:
    tokenizer = trained("llama3")
    prompt, answer = MarkedText("### Response:\n"), MarkedText.from_row("alpha")
    context, ids = tokenization.encode_pair(tokenizer, prompt, answer)
    assert tokenizer.convert_ids_to_tokens(context)[-1] == ":Ċ"
    assert tokenizer.decode(ids) == "alpha"


def test_token_of_the_whole_that_spans_both_is_parted() -> None:
    tokenizer = trained("llama3")
    prompt, answer = MarkedText("Judge the text.\n"), MarkedText.from_row("\n### Response")
    whole = tokenization.encode(tokenizer, prompt + answer)
    context, ids = tokenization.encode_pair(tokenizer, prompt, answer)
    assert ".ĊĊ" in tokenizer.convert_ids_to_tokens(whole)
    assert context == tokenization.encode(tokenizer, prompt)
    assert tokenizer.decode(context + ids) == tokenizer.decode(whole)
    assert context + ids != whole


@pytest.mark.parametrize("kind", ["llama2", "mistral", "gemma", "unigram", "gpt2"])
def test_blank_before_an_answer_is_the_answers(kind: str) -> None:
    tokenizer = trained(kind)
    context, ids = tokenization.encode_pair(
        tokenizer, MarkedText("Answer: "), MarkedText.from_row("yes")
    )
    assert context == tokenization.encode(tokenizer, MarkedText("Answer:"))
    assert context + ids == tokenization.encode(tokenizer, MarkedText("Answer: yes"))
