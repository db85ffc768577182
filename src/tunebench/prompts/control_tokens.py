"""Control tokens, and how to tokenize rows so that their text never becomes one.

A tokenizer turns the text `<|im_end|>` into the token that ends a turn, wherever it occurs. In a
template it should, in a row's text it should not. The tokenizers' option `split_special_tokens`
does not cover added tokens that are not marked `special`, such as the role tokens of DeepSeek-R1's
distilled models. So rows with such text are encoded by a copy of the tokenizer, in which control
tokens have names that no text contains.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

Span = tuple[int, int]
Tokenizer = Any  # transformers.PreTrainedTokenizerBase, whose import costs two seconds


@cache
def vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Each control token's id: all added tokens except plain text.

    Tokenizers for code add runs of blanks, and extended vocabularies add words; these are no
    control tokens.
    """
    added = tokenizer.added_tokens_decoder.items()
    added_ids = {
        token.content: index
        for index, token in added
        if token.special or not _is_text(token.content)
    }
    special = tokenizer.all_special_tokens
    return added_ids | {
        token: tokenizer.convert_tokens_to_ids(token) for token in map(str, special)
    }


def _is_text(content: str) -> bool:
    """Whether a token is white space or a word, with or without white space around it."""
    word = content.replace("▁", " ").strip()  # SentencePiece's blank
    return all(unicodedata.category(letter)[0] in "LMN" for letter in word)


@cache
def pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches every control token, the longest first."""
    tokens = sorted(filter(None, vocabulary(tokenizer)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")


@cache
def _ids(tokenizer: Tokenizer) -> frozenset[int]:
    # the unknown token stands for unknown characters, and controls nothing
    return frozenset(vocabulary(tokenizer).values()) - {tokenizer.unk_token_id}


def has_injected(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], tokens: Sequence[int], *, added: int
) -> bool:
    """Whether some of a text's tokens are control tokens that come from its rows.

    Args:
        tokens: of the text, by the tokenizer.
        added: how many control tokens the tokenizer puts before every text.
    """
    unknown = tokenizer.unk_token
    return count(tokenizer, tokens) != added + count_in_template(tokenizer, text, data) or bool(
        unknown and any(text.find(unknown, start, end) >= 0 for start, end in data)
    )


def count(tokenizer: Tokenizer, tokens: Iterable[int]) -> int:
    """How many of the tokens are control tokens, except the unknown token."""
    return sum(map(_ids(tokenizer).__contains__, tokens))


@lru_cache(maxsize=4096)  # a template's own text is the same for every row
def _count_in_words(tokenizer: Tokenizer, words: str) -> int:
    return len(pattern(tokenizer).findall(words))


def count_in_template(tokenizer: Tokenizer, text: str, data: Sequence[Span]) -> int:
    """How many control tokens a text has outside of the spans that came from rows."""
    return sum(_count_in_words(tokenizer, words) for words, own in _segments(text, data) if not own)


def encode(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], *, add_special_tokens: bool
) -> list[int]:
    """Token ids of a text, without control tokens in the spans that came from rows.

    Args:
        data: the character spans of it that came from rows.
    """
    if not tokenizer.is_fast:
        return _encode_in_pieces(tokenizer, text, data, add_special_tokens=add_special_tokens)
    twin = _twin(tokenizer)
    named = "".join(
        words if own else pattern(tokenizer).sub(lambda match: twin.names[match.group()], words)
        for words, own in _segments(text, data)
    )
    ids = twin.tokenizer.encode(named, add_special_tokens=add_special_tokens).ids
    return [twin.ids.get(token, token) for token in ids]


def _encode_in_pieces(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], *, add_special_tokens: bool
) -> list[int]:
    """The same for a slow tokenizer, whose `split_special_tokens` covers all added tokens."""
    around = tokenizer("")["input_ids"] if add_special_tokens else []
    ids: list[int] = [token for token in around if token != tokenizer.eos_token_id]
    for words, own in _segments(text, data):
        rest = words
        for match in () if own else pattern(tokenizer).finditer(words):
            before, _, rest = rest.partition(match.group())
            ids += [*_letters(tokenizer, before), vocabulary(tokenizer)[match.group()]]
        ids += _letters(tokenizer, rest)
    return ids


def _letters(tokenizer: Tokenizer, text: str) -> list[int]:
    quiet = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    return list(tokenizer(text, **quiet)["input_ids"]) if text else []


def _segments(text: str, data: Sequence[Span]) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it came from a row."""
    at = 0
    for start, end in sorted(data):
        yield text[at:start], False
        yield text[start:end], True
        at = end
    yield text[at:], False


@dataclass(frozen=True)
class _Twin:
    """A tokenizer with renamed control tokens; `ids` maps its ids to the original's."""

    tokenizer: Any
    names: dict[str, str]
    ids: dict[int, int]


@cache
def _twin(tokenizer: Tokenizer) -> _Twin:
    from tokenizers import Tokenizer as Fast

    vocabulary_ids = vocabulary(tokenizer)
    # in Linear A, an undeciphered script, which no text uses and no normalizer changes
    names = {token: f"\U00010600{place}\U00010601" for place, token in enumerate(vocabulary_ids)}
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    _rename(state["model"], names)
    twin = Fast.from_str(json.dumps(state))
    ids = {twin.token_to_id(name): vocabulary_ids[token] for token, name in names.items()}
    return _Twin(
        twin,
        names,
        {twin_id: original_id for twin_id, original_id in ids.items() if twin_id is not None},
    )


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Rename control tokens in a tokenizer model's vocabulary and merges, keeping their ids."""
    vocabulary = model.get("vocab") or {}
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    else:
        model["vocab"] = {names.get(piece, piece): index for piece, index in vocabulary.items()}
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in
              model.get("merges") or ()]  # fmt: skip
    if any(part in names or "".join(merge) in names for merge in merges for part in merge):
        model["merges"] = [merge for merge in merges if not {*merge, "".join(merge)} & names.keys()]
