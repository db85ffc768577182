"""Text to tokens, so that text from a data set never becomes a control token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from tunebench.errors import PromptError
from tunebench.prompts import control_tokens, tokenizer_files

Span = control_tokens.Span
Tokenizer = control_tokens.Tokenizer
Ids = tuple[int, ...]

# how many tokens before a boundary can change the tokens after it
ENDING = 3
# texts that an answer is encoded after, so that it shares no token with its prompt: first none,
# then some that keep the tokenizer from marking it as the start of a text or of a word
PRECEDING = ("", "\n", ".", "a", "1", "一")


@dataclass(frozen=True)
class MarkedText:
    """A text, and its character spans that came from rows, where no control token may occur.

    `begin` is whether the tokenizer may add its beginning-of-sequence token.
    """

    text: str
    data: Sequence[Span] = ()
    begin: bool = True

    @classmethod
    def from_row(cls, text: str) -> MarkedText:
        """A text that came from a row."""
        return cls(text, [(0, len(text))])

    def __add__(self, other: MarkedText) -> MarkedText:
        at = len(self.text)
        moved = [(start + at, end + at) for start, end in other.data]
        return MarkedText(self.text + other.text, [*self.data, *moved], self.begin)

    @property
    def last_blanks(self) -> str:
        """The spaces at its end, without newlines."""
        return self.text[len(self.text.rstrip(" ")) :]

    def without_last_blanks(self) -> MarkedText:
        """The same without the spaces at its end."""
        text = self.text.rstrip(" ")
        data = [(start, min(end, len(text))) for start, end in self.data]
        return MarkedText(text, data, self.begin)


def load(folder: str | Path) -> Tokenizer:
    """The tokenizer in a model's folder; see `tokenizer_files.load`."""
    return tokenizer_files.load(Path(folder))


def encode(tokenizer: Tokenizer, text: MarkedText) -> list[int]:
    """Token ids of a text; see `encode_all`."""
    return encode_all(tokenizer, [text])[0]


def encode_all(tokenizer: Tokenizer, texts: Sequence[MarkedText]) -> list[list[int]]:
    """Token ids of each text, with the tokenizer's beginning-of-sequence token if it has one.

    A text that starts with that token gets no second one. Text from rows never becomes a control
    token, see `control_tokens`.
    """
    begin = tokenizer.bos_token

    def lacks_begin(text: MarkedText) -> bool:
        return text.begin and not (begin and text.text.startswith(begin))

    ids: list[list[int]] = []
    for first, group in groupby(texts, key=lacks_begin):
        batch = list(group)
        encoded = _ids(tokenizer, [text.text for text in batch], add_special_tokens=first)
        added = _added_at_the_start(tokenizer) if first else 0
        for text, tokens in zip(batch, encoded, strict=True):
            if text.data and control_tokens.has_injected(
                tokenizer, text.text, text.data, tokens, added=added
            ):
                tokens = _encode_protected(tokenizer, text, first=first)
            ids.append(tokens)
    return ids


def _ids(tokenizer: Tokenizer, texts: Sequence[str], **options: bool) -> list[list[int]]:
    """The tokenizer's ids, without the end-of-sequence token that some append."""
    quiet = {"verbose": False, "return_attention_mask": False, "return_token_type_ids": False}
    encoded = tokenizer(list(texts), **quiet, **options)["input_ids"]
    return [_without_end(tokenizer, text, ids) for text, ids in zip(texts, encoded, strict=True)]


def _without_end(tokenizer: Tokenizer, text: str, ids: list[int]) -> list[int]:
    end, end_id = tokenizer.eos_token, tokenizer.eos_token_id
    return list(ids[:-1] if ids and ids[-1] == end_id and not text.endswith(end) else ids)


@cache
def _added_at_the_start(tokenizer: Tokenizer) -> int:
    [ids] = _ids(tokenizer, [""], add_special_tokens=True)
    return control_tokens.count(tokenizer, ids)


def _encode_protected(tokenizer: Tokenizer, text: MarkedText, *, first: bool) -> list[int]:
    """Encode the template's control tokens as such, and those in rows as plain text."""
    ids = control_tokens.encode(tokenizer, text.text, text.data, add_special_tokens=first)
    own = control_tokens.count_in_template(tokenizer, text.text, text.data)
    own += _added_at_the_start(tokenizer) if first else 0
    return ids[:-1] if control_tokens.count(tokenizer, ids) > own else ids  # without an added end


def offsets(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[Span]]:
    """The character span of each token of each text."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    return list(encoded["offset_mapping"])


def contexts(tokenizer: Tokenizer, prompts: Sequence[MarkedText]) -> list[Ids]:
    """Token ids of prompts, the same for training, evaluation and timing.

    Spaces at a prompt's end belong to the answer: ` yes` is one token in most vocabularies, so
    models have rarely seen a prompt that ends with a space token.
    """
    return list(
        map(tuple, encode_all(tokenizer, [prompt.without_last_blanks() for prompt in prompts]))
    )


def encode_pair(
    tokenizer: Tokenizer, prompt: MarkedText, completion: MarkedText
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of its completion."""
    return encode_pairs(tokenizer, [(prompt, completion)])[0]


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[tuple[MarkedText, MarkedText]]
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of its completion; see `encode_choices`."""
    prompts = [prompt for prompt, _ in pairs]
    context_ids, choices = encode_choices(tokenizer, prompts, [[answer] for _, answer in pairs])
    return [
        (list(context), list(answer))
        for context, (answer,) in zip(context_ids, choices, strict=True)
    ]


def encode_choices(
    tokenizer: Tokenizer, prompts: Sequence[MarkedText], choices: Sequence[Sequence[MarkedText]]
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    """Token ids of each prompt, its `contexts`, and of each of its possible answers.

    Prompt and answer are tokenized as one text, and the answer's tokens are those after the
    prompt's. If a token would span both (Llama-3 has one for `:\n\n`, and perhaps for `:yes`), the
    prompt keeps the tokens that it has alone, as a model sees it before it answers.

    After prompts with the same ending, answers have the same tokens. So they are encoded after one
    such prompt, and one of them is checked after each of the others.

    Raises:
        PromptError: if an answer adds no token to its prompt.
    """
    context_ids = contexts(tokenizer, prompts)

    def encode_after(places: Sequence[tuple[int, int]]) -> list[Ids]:
        pairs = [(prompts[row], choices[row][choice]) for row, choice in places]
        wholes = encode_all(tokenizer, [prompt + answer for prompt, answer in pairs])
        return [
            _continuation(tokenizer, context_ids[row], prompt, answer, whole)
            for (row, _), (prompt, answer), whole in zip(places, pairs, wholes, strict=True)
        ]

    def encode_all_after(rows: Sequence[int]) -> dict[int, tuple[Ids, ...]]:
        encoded = iter(encode_after([(row, at) for row in rows for at in range(len(choices[row]))]))
        return {row: tuple(next(encoded) for _ in choices[row]) for row in rows}

    first: dict[object, int] = {}
    representative = [
        first.setdefault(_ending(context_ids[row], prompts[row], choices[row]), row)
        for row in range(len(prompts))
    ]
    answers = encode_all_after(list(first.values()))
    checks = [(row, row % len(choices[row])) for row in range(len(prompts)) if row not in answers]
    checked = zip(checks, encode_after(checks), strict=True)
    confirmed = [row for (row, at), ids in checked if ids == answers[representative[row]][at]]
    answers |= {row: answers[representative[row]] for row in confirmed}
    answers |= encode_all_after([row for row, _ in checks if row not in answers])
    for row, encoded in answers.items():
        if not all(encoded):
            empty = choices[row][encoded.index(())].text
            raise PromptError(f"{empty!r} adds no token to its prompt; give it another name")
    return context_ids, [answers[row] for row in range(len(prompts))]


def _ending(context: Ids, prompt: MarkedText, choices: Sequence[MarkedText]) -> object:
    """What the tokens of the answers depend on."""
    return context[-ENDING:], prompt.last_blanks, tuple(choice.text for choice in choices)


def _continuation(
    tokenizer: Tokenizer, context: Ids, prompt: MarkedText, answer: MarkedText, whole: Sequence[int]
) -> Ids:
    """The tokens of an answer after those of its prompt."""
    rest = tuple(whole[len(context) :])
    if rest and tuple(whole[: len(context)]) == context:
        return rest
    text = _written(tokenizer, whole)
    answer = MarkedText(prompt.last_blanks) + answer
    fallback: Ids = ()
    for before in PRECEDING:
        start = encode(tokenizer, MarkedText(before, begin=False))
        ids = encode(tokenizer, MarkedText(before, begin=False) + answer)
        if ids[: len(start)] != start:
            continue
        fallback = fallback or tuple(ids[len(start) :])
        if _written(tokenizer, [*context, *ids[len(start) :]]) == text:
            return tuple(ids[len(start) :])
    return fallback


def _written(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def pad_id(tokenizer: Tokenizer, config: Any = None) -> int:
    """The padding token, or without one the end-of-sequence token, which is masked.

    Args:
        config: of the model. A padding token beyond its `vocab_size` is not used: some tokenizers
            have one, though their model's embedding was never resized for it.
    """
    size = config.get_text_config().vocab_size if config is not None else None
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(
        int(token) for token in candidates if token is not None and (size is None or token < size)
    )
