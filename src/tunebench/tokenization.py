"""Text to tokens, so that text from a data set never becomes a control token."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from tunebench.errors import PromptError

Span = tuple[int, int]
Ids = tuple[int, ...]
Tokenizer = Any  # transformers.PreTrainedTokenizerBase, whose import costs two seconds

# no tokenizer looks further back than these tokens to part a text from what follows it
ENDING = 3

# the classes whose files say all: the same object that AutoTokenizer gives, without importing torch
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")


@dataclass(frozen=True)
class Marked:
    """A text, and the character spans of it that came from rows: no control token there."""

    text: str
    data: Sequence[Span] = ()
    begin: bool = True

    @classmethod
    def from_row(cls, text: str) -> Marked:
        """A text all of which came from a row."""
        return cls(text, [(0, len(text))])

    def __add__(self, other: Marked) -> Marked:
        at = len(self.text)
        moved = [(start + at, end + at) for start, end in other.data]
        return Marked(self.text + other.text, [*self.data, *moved], self.begin)

    def rstrip(self) -> Marked:
        """The same without white space at its end."""
        text = self.text.rstrip()
        data = [(start, min(end, len(text))) for start, end in self.data]
        return Marked(text, data, self.begin)


def load(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model's folder, as `transformers.AutoTokenizer` resolves it."""
    settings = Path(folder) / "tokenizer_config.json"
    named = json.loads(settings.read_text("utf-8")) if settings.exists() else {}
    if named.get("tokenizer_class") in _GENERIC and (Path(folder) / "tokenizer.json").exists():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@cache
def control_tokens(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches what the tokenizer would turn into a special token, the longest first."""
    special = {str(token) for token in tokenizer.all_special_tokens}
    added = tokenizer.added_tokens_decoder.values()
    special |= {token.content for token in added if token.special}
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")


def encode(tokenizer: Tokenizer, text: Marked) -> list[int]:
    """Token ids of a text; see `encode_all`."""
    return encode_all(tokenizer, [text])[0]


def encode_all(tokenizer: Tokenizer, texts: Sequence[Marked]) -> list[list[int]]:
    """Token ids of each text, with the tokenizer's own beginning-of-sequence token if it has one.

    A text that was written with that token gets no second one.
    """
    control, begin = control_tokens(tokenizer), tokenizer.bos_token

    def lacks_begin(text: Marked) -> bool:
        return text.begin and not (begin and text.text.startswith(begin))

    ids: list[list[int]] = []
    for first, group in groupby(texts, key=lacks_begin):
        batch = list(group)
        encoded = _ids(tokenizer, [text.text for text in batch], add_special_tokens=first)
        for text, tokens in zip(batch, encoded, strict=True):
            harmful = any(control.search(text.text, start, end) for start, end in text.data)
            ids.append(_encode_split(tokenizer, text, first=first) if harmful else tokens)
    return ids


def _ids(tokenizer: Tokenizer, texts: Sequence[str], **options: bool) -> list[list[int]]:
    """Ids without the end-of-sequence token that some tokenizers add: the answer comes next."""
    end, end_id = tokenizer.eos_token, tokenizer.eos_token_id
    quiet = {"verbose": False, "return_attention_mask": False, "return_token_type_ids": False}
    encoded = tokenizer(list(texts), **quiet, **options)["input_ids"]
    return [
        list(ids[:-1] if ids and ids[-1] == end_id and not text.endswith(end) else ids)
        for text, ids in zip(texts, encoded, strict=True)
    ]


def _encode_split(tokenizer: Tokenizer, text: Marked, *, first: bool) -> list[int]:
    """The template's control tokens by their ids, all else as the letters it is made of."""
    ids: list[int] = []

    def spell(piece: str) -> None:
        special = first and not ids
        if piece or special:
            ids.extend(
                _ids(tokenizer, [piece], add_special_tokens=special, split_special_tokens=True)[0]
            )

    at = 0
    for match in control_tokens(tokenizer).finditer(text.text):
        if not any(start < match.end() and match.start() < end for start, end in text.data):
            spell(text.text[at : match.start()])
            ids.append(tokenizer.convert_tokens_to_ids(match.group()))
            at = match.end()
    spell(text.text[at:])
    return ids


def offsets(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[Span]]:
    """The characters that each token of each row's text stands for, in the text's order."""
    found = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    return list(found["offset_mapping"])


def encode_pair(
    tokenizer: Tokenizer, prompt: Marked, completion: Marked
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of what follows it."""
    return encode_pairs(tokenizer, [(prompt, completion)])[0]


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[tuple[Marked, Marked]]
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of what follows it.

    The second are those by which the two as one text are longer than the prompt's own. White space
    at the prompt's end belongs to the completion. Both as in EleutherAI's lm-evaluation-harness
    (`TemplateLM._encode_pair`), so that training and scoring see the same tokens.
    """
    prompts = [prompt for prompt, _ in pairs]
    contexts, choices = encode_choices(tokenizer, prompts, [[answer] for _, answer in pairs])
    return [
        (list(context), list(answer)) for context, (answer,) in zip(contexts, choices, strict=True)
    ]


def encode_choices(
    tokenizer: Tokenizer, prompts: Sequence[Marked], choices: Sequence[Sequence[Marked]]
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    """Token ids of each prompt, and of each of the texts that may follow it; see `encode_pairs`.

    Prompts that end alike, as a template lets them, have the same tokens behind them: those are
    encoded behind one prompt, and one of them behind each other prompt, to be sure.

    Raises:
        PromptError: if a text adds no token to its prompt.
    """
    contexts = list(map(tuple, encode_all(tokenizer, [prompt.rstrip() for prompt in prompts])))

    def behind(places: Sequence[tuple[int, int]]) -> list[Ids]:
        wholes = [prompts[row] + choices[row][choice] for row, choice in places]
        found = encode_all(tokenizer, wholes)
        return [
            tuple(ids[len(contexts[row]) :]) for (row, _), ids in zip(places, found, strict=True)
        ]

    def all_behind(rows: Sequence[int]) -> dict[int, tuple[Ids, ...]]:
        found = iter(behind([(row, at) for row in rows for at in range(len(choices[row]))]))
        return {row: tuple(next(found) for _ in choices[row]) for row in rows}

    first: dict[object, int] = {}
    like = [
        first.setdefault(_ending(contexts[row], prompts[row], choices[row]), row)
        for row in range(len(prompts))
    ]
    answers = all_behind(list(first.values()))
    tried = [(row, row % len(choices[row])) for row in range(len(prompts)) if row not in answers]
    tries = zip(tried, behind(tried), strict=True)
    alike = [row for (row, at), ids in tries if ids == answers[like[row]][at]]
    answers |= {row: answers[like[row]] for row in alike}
    answers |= all_behind([row for row, _ in tried if row not in answers])
    for row, found in answers.items():
        if not all(found):
            empty = choices[row][found.index(())].text
            raise PromptError(f"{empty!r} adds no token to its prompt; give it another name")
    return contexts, [answers[row] for row in range(len(prompts))]


def _ending(context: Ids, prompt: Marked, choices: Sequence[Marked]) -> object:
    """What the tokens of the choices depend on."""
    white = prompt.text[len(prompt.text.rstrip()) :]
    return context[-ENDING:], white, tuple(choice.text for choice in choices)


def end_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of the control tokens in what a template writes behind an answer."""
    found = control_tokens(tokenizer).findall(text)
    return [int(tokenizer.convert_tokens_to_ids(token)) for token in found]


def pad_id(tokenizer: Tokenizer) -> int:
    """The padding token, or where there is none the end-of-sequence token, which masks hide."""
    found = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return int(found or 0)
