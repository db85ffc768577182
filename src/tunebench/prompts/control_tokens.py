"""Control tokens: which of a tokenizer's tokens they are, and rows that write none of them.

A tokenizer turns the letters of `<|im_end|>` into the token that ends a turn, wherever they stand.
What a template writes shall become that token; what a row says shall not. Tokenizers have a switch
for it, `split_special_tokens`, but it leaves out every added token that is not marked `special`,
such as the role tokens of DeepSeek-R1's distilled models. So rows that hold such letters go through
a twin of the tokenizer, which knows its control tokens by names that no text holds.
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
    """Each control token's id: all added tokens, but for those that are plainly text.

    Tokenizers for code add runs of blanks, and extended vocabularies add words; neither controls
    anything.
    """
    added = tokenizer.added_tokens_decoder.items()
    found = {
        token.content: index
        for index, token in added
        if token.special or not _is_text(token.content)
    }
    special = tokenizer.all_special_tokens
    return found | {token: tokenizer.convert_tokens_to_ids(token) for token in map(str, special)}


def _is_text(content: str) -> bool:
    """Whether a token is white space, or the letters of a word with white space around it."""
    word = content.replace("▁", " ").strip()  # SentencePiece's blank
    return all(unicodedata.category(letter)[0] in "LMN" for letter in word)


@cache
def pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches every control token, the longest first."""
    known = sorted(filter(None, vocabulary(tokenizer)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known)) or r"(?!)")


@cache
def _ids(tokenizer: Tokenizer) -> frozenset[int]:
    # letters that a tokenizer does not know become its token for them, and control nothing
    return frozenset(vocabulary(tokenizer).values()) - {tokenizer.unk_token_id}


def come_of(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], tokens: Sequence[int], *, added: int
) -> bool:
    """Whether some of a text's tokens are control tokens that its rows have named.

    Args:
        tokens: as the tokenizer gives them.
        added: how many control tokens it puts before every text.
    """
    unknown = tokenizer.unk_token
    return count(tokenizer, tokens) != added + written(tokenizer, text, data) or bool(
        unknown and any(text.find(unknown, start, end) >= 0 for start, end in data)
    )


def count(tokenizer: Tokenizer, tokens: Iterable[int]) -> int:
    """How many of some tokens are control tokens, those for unknown letters left out."""
    return sum(map(_ids(tokenizer).__contains__, tokens))


@lru_cache(maxsize=4096)  # of a template: its own words come with every row
def _written(tokenizer: Tokenizer, words: str) -> int:
    return len(pattern(tokenizer).findall(words))


def written(tokenizer: Tokenizer, text: str, data: Sequence[Span]) -> int:
    """How many control tokens stand in a text outside of the spans that came from rows."""
    return sum(_written(tokenizer, words) for words, own in _parts(text, data) if not own)


def encode(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], *, add_special_tokens: bool
) -> list[int]:
    """Token ids of a text whose rows write no control token, whatever they say.

    Args:
        data: the character spans of it that came from rows.
    """
    if not tokenizer.is_fast:
        return _encode_in_pieces(tokenizer, text, data, add_special_tokens=add_special_tokens)
    twin = _twin(tokenizer)
    named = "".join(
        words if own else pattern(tokenizer).sub(lambda match: twin.names[match.group()], words)
        for words, own in _parts(text, data)
    )
    found = twin.tokenizer.encode(named, add_special_tokens=add_special_tokens).ids
    return [twin.ids.get(token, token) for token in found]


def _encode_in_pieces(
    tokenizer: Tokenizer, text: str, data: Sequence[Span], *, add_special_tokens: bool
) -> list[int]:
    """The same for a tokenizer written in Python, whose switch leaves out no added token."""
    around = tokenizer("")["input_ids"] if add_special_tokens else []
    ids: list[int] = [token for token in around if token != tokenizer.eos_token_id]
    for words, own in _parts(text, data):
        rest = words
        for match in () if own else pattern(tokenizer).finditer(words):
            before, _, rest = rest.partition(match.group())
            ids += [*_letters(tokenizer, before), vocabulary(tokenizer)[match.group()]]
        ids += _letters(tokenizer, rest)
    return ids


def _letters(tokenizer: Tokenizer, text: str) -> list[int]:
    quiet = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    return list(tokenizer(text, **quiet)["input_ids"]) if text else []


def _parts(text: str, data: Sequence[Span]) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it came from a row."""
    at = 0
    for start, end in sorted(data):
        yield text[at:start], False
        yield text[start:end], True
        at = end
    yield text[at:], False


@dataclass(frozen=True)
class _Twin:
    """The same tokenizer, its control tokens under other names; `ids` are the first one's."""

    tokenizer: Any
    names: dict[str, str]
    ids: dict[int, int]


@cache
def _twin(tokenizer: Tokenizer) -> _Twin:
    from tokenizers import Tokenizer as Fast

    known = vocabulary(tokenizer)
    # in Linear A, a script that nobody can read, and which no normalizer changes
    names = {token: f"\U00010600{place}\U00010601" for place, token in enumerate(known)}
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    _rename(state["model"], names)
    twin = Fast.from_str(json.dumps(state))
    ids = {twin.token_to_id(name): known[token] for token, name in names.items()}
    return _Twin(twin, names, {theirs: ours for theirs, ours in ids.items() if theirs is not None})


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Take control tokens out of a model's reach, each under its id."""
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
