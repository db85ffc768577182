"""What may follow a prompt is encoded behind few prompts, and is the same as behind each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunebench import tokenization
from tunebench.prompts import Prompt
from tunebench.tokenization import Marked

LABELS = ["positive", "negative", "very positive", "pos"]
SHARED = Path(__file__).parents[2] / "shared" / "tokenizers"


def asked(prompts: list[Prompt], labels: Sequence[str] = LABELS) -> tuple[Any, Any]:
    shown = [prompt.shown for prompt in prompts]
    return shown, [[prompt.answered(label) for label in labels] for prompt in prompts]


def behind_each(tokenizer: Any, shown: Any, choices: Any) -> list[Any]:
    """The harness's rule, text by text."""
    found = []
    for prompt, texts in zip(shown, choices, strict=True):
        start = len(tokenization.encode(tokenizer, prompt.rstrip()))
        wholes = [tokenization.encode(tokenizer, prompt + text) for text in texts]
        found.append(tuple(tuple(whole[start:]) for whole in wholes))
    return found


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is encoded."""
    texts: list[str] = []
    encode_all = tokenization.encode_all

    def counted(tokenizer: Any, some: Sequence[Marked]) -> Any:
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
    assert answers == behind_each(tokenizer, shown, choices)
    assert contexts == [tuple(tokenization.encode(tokenizer, each.rstrip())) for each in shown]


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

    def far_sighted(tokenizer: Any, some: Sequence[Marked]) -> list[list[int]]:
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
