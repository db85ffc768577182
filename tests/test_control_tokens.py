"""No row writes a control token, whatever the tokenizer and its tokens' flags."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from vocabularies import KINDS, trained

from tunebench.prompts import Prompt, control_tokens, encoding, tokenization
from tunebench.prompts.tokenization import MarkedText

# as DeepSeek-R1's distilled models have them: role tokens that are not marked special
ROLES = ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<h1>", "[MASK]"]
# as tokenizers for code, and enlarged vocabularies, have them
TEXTS = ["    ", "\n\n\n", "hello", " world", "नमस्ते", "▁▁▁"]


@cache
def with_roles(kind: str) -> Any:
    """A tokenizer with added tokens of every flag."""
    tokenizer = trained(kind, fresh=True)
    normalized = kind != "llama2"  # which would look for `▁<think>`
    tokenizer.add_tokens(
        [
            *(AddedToken(token, special=False, normalized=False) for token in ROLES[:2]),
            *(AddedToken(token, special=False, normalized=normalized) for token in ROLES[2:4]),
            AddedToken(ROLES[4], special=False, normalized=False, single_word=True),
            AddedToken(ROLES[5], special=True, normalized=False, lstrip=True),
            *(AddedToken(token, special=False, normalized=False) for token in TEXTS),
        ]
    )
    return tokenizer


def controls(tokenizer: Any, ids: list[int]) -> list[str]:
    """The control tokens among some ids, by another way than the code's own."""
    named = {*ROLES, "<s>", "</s>", "<|im_end|>"}
    return [token for token in tokenizer.convert_ids_to_tokens(ids) if token in named]


@pytest.mark.parametrize("kind", KINDS)
def test_which_tokens_control(kind: str) -> None:
    known = control_tokens.vocabulary(with_roles(kind))
    assert set(known) == {*ROLES, "<unk>", "<s>", "</s>", "<|im_end|>"}
    assert all(with_roles(kind).convert_tokens_to_ids(token) == known[token] for token in known)


PIECES = [
    *ROLES,
    "</s>",
    "<s>",
    "<|im_end|>",
    "<|im_",
    "end|>",
    "<",
    ">",
    "</",
    "s>",
    " ",
    "\n",
    "yes",
]


@settings(max_examples=1500, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    parts=st.lists(
        st.tuples(
            st.sampled_from(["Judge: ", "<｜User｜>", "<|im_end|>\n", "<think>\n", "a", ""]),
            st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=4).map("".join),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_rows_write_none(kind: str, parts: list[tuple[str, str]]) -> None:
    """What a template writes is all that comes out, in its order, and no letter is lost."""
    tokenizer = with_roles(kind)
    text = MarkedText("")
    for words, row in parts:
        text += MarkedText(words) + MarkedText.from_row(row)
    ids = tokenization.encode(tokenizer, text)
    written = [token for words, _ in parts for token in ("<｜User｜>", "<|im_end|>", "<think>")
               if token in words]  # fmt: skip
    begin = [] if text.text.startswith("<s>") else ["<s>"]
    assert controls(tokenizer, ids) == begin + written
    if kind not in ("wordpiece", "unigram"):  # which know few letters, and bytes of none
        read = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert _bare(read) == _bare("<s>" * len(begin) + text.text)


def _bare(text: str) -> str:
    return text.replace(" ", "").replace("▁", "")


@pytest.mark.parametrize("kind", ["gpt2", "llama3", "llama2", "mistral", "gemma"])
def test_text_that_names_none_is_as_before(kind: str) -> None:
    tokenizer, text = with_roles(kind), "It was    good,\n\n\nhello world. <b>yes</b>"
    assert tokenization.encode(tokenizer, MarkedText.from_row(text)) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", ["gpt2", "llama3", "llama2", "mistral", "gemma"])
def test_text_around_a_name_is_as_it_would_be_without(kind: str) -> None:
    """All else has the tokens that `split_special_tokens` gives, where that works."""
    tokenizer = trained(kind)
    text = (
        MarkedText("<|im_end|>\nText: ")
        + MarkedText.from_row("It was </s> good")
        + MarkedText("\nAnswer:")
    )
    whole = text.text.replace("<|im_end|>", "")
    ids = tokenization.encode(tokenizer, text)
    right = tokenizer(whole, split_special_tokens=True)["input_ids"]
    assert ids[-8:] == right[-8:]
    assert controls(tokenizer, ids) == ["<s>", "<|im_end|>"]


def test_tokenizer_written_in_python() -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    text = MarkedText("Text: ") + MarkedText.from_row("a</s>b<extra_id_3>") + MarkedText("</s>go")
    ids = tokenization.encode(tokenizer, text)
    assert ids.count(tokenizer.eos_token_id) == 1
    assert not any(index >= len(tokenizer) - 125 for index in ids)
    assert tokenizer.decode(ids) == text.text


def test_end_of_a_text_template_may_be_no_special_token() -> None:
    tokenizer = with_roles("llama3")
    prompt = Prompt("x", "a:", "yes<｜User｜>", answer=(0, 3))
    [(_, learned)] = encoding.completions(tokenizer, [prompt])
    assert tokenizer.convert_ids_to_tokens(learned)[-1] == "<｜User｜>"
    assert encoding.end_token_ids(tokenizer, prompt.tail) == (learned[-1],)
