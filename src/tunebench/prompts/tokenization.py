"""Text to tokens, so that text from a data set never becomes a control token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from tunebench.errors import PromptError
from tunebench.prompts import control_tokens

Span = control_tokens.Span
Tokenizer = control_tokens.Tokenizer
Ids = tuple[int, ...]

# no tokenizer looks further back than these tokens to part a text from what follows it
ENDING = 3
# what an answer is encoded behind where it shall share no token with its prompt: nothing at first,
# then what keeps a tokenizer from marking it as the beginning of a text, or of a word
BEFORE = ("", "\n", ".", "a", "1", "一")

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

    @property
    def last_blanks(self) -> str:
        """The blanks at its end; line ends are none."""
        return self.text[len(self.text.rstrip(" ")) :]

    def without_last_blanks(self) -> Marked:
        """The same without the blanks at its end."""
        text = self.text.rstrip(" ")
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


def encode(tokenizer: Tokenizer, text: Marked) -> list[int]:
    """Token ids of a text; see `encode_all`."""
    return encode_all(tokenizer, [text])[0]


def encode_all(tokenizer: Tokenizer, texts: Sequence[Marked]) -> list[list[int]]:
    """Token ids of each text, with the tokenizer's own beginning-of-sequence token if it has one.

    A text that was written with that token gets no second one. No control token comes out of what
    rows say, see `control_tokens`.
    """
    begin = tokenizer.bos_token

    def lacks_begin(text: Marked) -> bool:
        return text.begin and not (begin and text.text.startswith(begin))

    ids: list[list[int]] = []
    for first, group in groupby(texts, key=lacks_begin):
        batch = list(group)
        encoded = _ids(tokenizer, [text.text for text in batch], add_special_tokens=first)
        added = _added_at_the_start(tokenizer) if first else 0
        for text, tokens in zip(batch, encoded, strict=True):
            if text.data and control_tokens.come_of(
                tokenizer, text.text, text.data, tokens, added=added
            ):
                tokens = _spelled(tokenizer, text, first=first)
            ids.append(tokens)
    return ids


def _ids(tokenizer: Tokenizer, texts: Sequence[str], **options: bool) -> list[list[int]]:
    """Ids as the tokenizer gives them, less the end that some add: the answer comes next."""
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


def _spelled(tokenizer: Tokenizer, text: Marked, *, first: bool) -> list[int]:
    """The template's control tokens by their ids, those that rows name by their letters."""
    ids = control_tokens.encode(tokenizer, text.text, text.data, add_special_tokens=first)
    own = control_tokens.written(tokenizer, text.text, text.data)
    own += _added_at_the_start(tokenizer) if first else 0
    return ids[:-1] if control_tokens.count(tokenizer, ids) > own else ids  # less an added end


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


def contexts(tokenizer: Tokenizer, prompts: Sequence[Marked]) -> list[Ids]:
    """Token ids of prompts as a model is shown them, be it to learn, to answer or to be timed.

    Blanks at a prompt's end belong to what follows: ` yes` is one token of most vocabularies, so a
    prompt that ends in a blank is one that its model has hardly seen.
    """
    return list(
        map(tuple, encode_all(tokenizer, [prompt.without_last_blanks() for prompt in prompts]))
    )


def encode_pair(
    tokenizer: Tokenizer, prompt: Marked, completion: Marked
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of what follows it."""
    return encode_pairs(tokenizer, [(prompt, completion)])[0]


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[tuple[Marked, Marked]]
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of what follows it; see `encode_choices`."""
    prompts = [prompt for prompt, _ in pairs]
    shown, choices = encode_choices(tokenizer, prompts, [[answer] for _, answer in pairs])
    return [
        (list(context), list(answer)) for context, (answer,) in zip(shown, choices, strict=True)
    ]


def encode_choices(
    tokenizer: Tokenizer, prompts: Sequence[Marked], choices: Sequence[Sequence[Marked]]
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    """Token ids of each prompt, its `contexts`, and of each of the texts that may follow it.

    The second are those by which the two as one text are longer than the prompt alone. Where a
    token of the whole would span both (Llama-3 has one for `:\n\n`, and for `:yes` perhaps), the
    prompt keeps its own tokens, since those are what a model is shown that has yet to answer.

    Prompts that end alike, as a template lets them, have the same tokens behind them: those are
    encoded behind one prompt, and one of them behind each other prompt, to be sure.

    Raises:
        PromptError: if a text adds no token to its prompt.
    """
    shown = contexts(tokenizer, prompts)

    def behind(places: Sequence[tuple[int, int]]) -> list[Ids]:
        pairs = [(prompts[row], choices[row][choice]) for row, choice in places]
        wholes = encode_all(tokenizer, [prompt + answer for prompt, answer in pairs])
        return [
            _rest(tokenizer, shown[row], prompt, answer, whole)
            for (row, _), (prompt, answer), whole in zip(places, pairs, wholes, strict=True)
        ]

    def all_behind(rows: Sequence[int]) -> dict[int, tuple[Ids, ...]]:
        found = iter(behind([(row, at) for row in rows for at in range(len(choices[row]))]))
        return {row: tuple(next(found) for _ in choices[row]) for row in rows}

    first: dict[object, int] = {}
    like = [
        first.setdefault(_ending(shown[row], prompts[row], choices[row]), row)
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
    return shown, [answers[row] for row in range(len(prompts))]


def _ending(context: Ids, prompt: Marked, choices: Sequence[Marked]) -> object:
    """What the tokens of the choices depend on."""
    return context[-ENDING:], prompt.last_blanks, tuple(choice.text for choice in choices)


def _rest(
    tokenizer: Tokenizer, context: Ids, prompt: Marked, answer: Marked, whole: Sequence[int]
) -> Ids:
    """The tokens of an answer behind its prompt's."""
    rest = tuple(whole[len(context) :])
    if rest and tuple(whole[: len(context)]) == context:
        return rest
    text = _written(tokenizer, whole)
    answer = Marked(prompt.last_blanks) + answer
    found: Ids = ()
    for before in BEFORE:
        start = encode(tokenizer, Marked(before, begin=False))
        ids = encode(tokenizer, Marked(before, begin=False) + answer)
        if ids[: len(start)] != start:
            continue
        found = found or tuple(ids[len(start) :])
        if _written(tokenizer, [*context, *ids[len(start) :]]) == text:
            return tuple(ids[len(start) :])
    return found


def _written(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def pad_id(tokenizer: Tokenizer, config: Any = None) -> int:
    """The padding token, or where there is none the end-of-sequence token, which masks hide.

    Args:
        config: the model's, whose `vocab_size` tells what it has an embedding for. Some tokenizers
            got a padding token of their own that their model was never enlarged for.
    """
    size = config.get_text_config().vocab_size if config is not None else None
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(
        int(token) for token in known if token is not None and (size is None or token < size)
    )
