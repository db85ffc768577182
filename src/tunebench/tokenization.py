"""Text to tokens, so that text from a data set never becomes a control token."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

Span = tuple[int, int]
Tokenizer = Any  # transformers.PreTrainedTokenizerBase, whose import costs two seconds

# the classes whose files say all: the same object that AutoTokenizer gives, without importing torch
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")


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
def _control_tokens(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches what the tokenizer would turn into a special token, the longest first."""
    special = {str(token) for token in tokenizer.all_special_tokens}
    added = tokenizer.added_tokens_decoder.values()
    special |= {token.content for token in added if token.special}
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")


def encode(tokenizer: Tokenizer, text: str, data: Sequence[Span] = ()) -> list[int]:
    """Token ids of `text`, with the tokenizer's own beginning-of-sequence token.

    Args:
        data: character spans that came from rows. A control token's text inside them is split, so
            that it is read as the letters it is made of.
    """
    pieces = _harmless_pieces(text, data, _control_tokens(tokenizer))
    ids: list[int] = list(tokenizer(pieces[0], verbose=False)["input_ids"])
    if ids and ids[-1] == tokenizer.eos_token_id and not pieces[0].endswith(tokenizer.eos_token):
        ids.pop()  # some tokenizers end every text; here the answer comes next
    for piece in pieces[1:]:
        ids += tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def offsets(tokenizer: Tokenizer, text: str) -> list[Span]:
    """The characters that each token of a row's text stands for, in the text's order."""
    found: list[Span] = []
    at = 0
    for piece in _harmless_pieces(text, [(0, len(text))], _control_tokens(tokenizer)):
        tokens = tokenizer(
            piece, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        found += [(start + at, end + at) for start, end in tokens["offset_mapping"]]
        at += len(piece)
    return found


def _harmless_pieces(text: str, data: Sequence[Span], control: re.Pattern[str]) -> list[str]:
    """`text` cut inside each control token that stands in its data spans; usually not at all."""
    cuts = [
        match.start() + 1 for start, end in data for match in control.finditer(text, start, end)
    ]
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def encode_pair(
    tokenizer: Tokenizer, prompt: str, completion: str, data: Sequence[Span] = ()
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of what follows it.

    Both are tokenized as one text and parted where the prompt's own tokens end. White space at
    the prompt's end belongs to the completion, as in EleutherAI's lm-evaluation-harness
    (`TemplateLM._encode_pair`), so that training and scoring see the same tokens.
    """
    bare = prompt.rstrip()
    whole = prompt + completion
    spans = [*data, (len(prompt), len(whole))]
    context = encode(tokenizer, bare, data)
    ids = encode(tokenizer, whole, spans)
    cut = min(len(context), len(ids) - 1)  # a completion may melt into the prompt's last token
    return ids[:cut], ids[cut:]


def pad_id(tokenizer: Tokenizer) -> int:
    """The padding token, or where there is none the end-of-sequence token, which masks hide."""
    found = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return int(found or 0)
