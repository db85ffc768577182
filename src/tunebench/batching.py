"""Prompts as tensors: which tokens count in the loss, padding, batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from tunebench import tokenization
from tunebench.prompts import Prompt
from tunebench.tokenization import Tokenizer

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Example = dict[str, list[int]]  # `input_ids` and `labels`

IGNORED = -100  # the label that torch's cross-entropy leaves out


def examples(prompts: Sequence[Prompt], tokenizer: Tokenizer, *, loss_on: str) -> list[Example]:
    """Token ids and labels for training, each with its end (the template's or the tokenizer's).

    Args:
        loss_on: `completion` counts the answer's tokens in the loss, `all` the prompt's too.
    """
    rows = []
    pairs = [(prompt.shown, prompt.learned) for prompt in prompts]
    encoded = tokenization.encode_pairs(tokenizer, pairs)
    for prompt, (context, answer) in zip(prompts, encoded, strict=True):
        ended = tokenization.end_ids(tokenizer, prompt.tail)
        if not ended and tokenizer.eos_token_id is not None:
            answer = [*answer, tokenizer.eos_token_id]
        masked = [IGNORED] * len(context) if loss_on == "completion" else context
        rows.append({"input_ids": context + answer, "labels": masked + answer})
    return rows


def pack(rows: Sequence[Example], length: int) -> list[Example]:
    """Rows strung together and cut into sequences of `length` tokens; the last may be shorter.

    Attention runs from one row into the next, as in TRL's `packing` of 2023, which the published
    studies used.
    """
    names = ("input_ids", "labels")
    strung = {name: list(chain.from_iterable(row[name] for row in rows)) for name in names}
    return [
        {name: ids[start : start + length] for name, ids in strung.items()}
        for start in range(0, len(strung["input_ids"]), length)
    ]


class Collator:
    """Pads rows of `examples` on the right to the longest one: tensors of rows × length."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[Example]) -> dict[str, torch.Tensor]:
        """One batch: `input_ids`, `attention_mask` and `labels`."""
        batch: dict[str, Any] = pad([row["input_ids"] for row in rows], self.pad_id)
        batch["labels"] = pad([row["labels"] for row in rows], IGNORED)["input_ids"]
        return batch


def pad(
    rows: Sequence[Sequence[int]], value: int, *, side: str = "right"
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, both rows × longest row, filled up with `value`."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), value, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return {"input_ids": ids, "attention_mask": mask}


def within_budget(
    lengths: Sequence[int], budget: int, work: Callable[[list[int]], T]
) -> Iterator[tuple[list[int], T]]:
    """Do work in batches of like length, the longest first: their indices, and what came of it.

    Args:
        lengths: tokens of each piece of work.
        budget: tokens that a batch may hold, padding included; one piece alone may be more. Where
            memory ends it is halved, for good, and the batch tried again.
    """
    import torch

    pending = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while pending:
        longest = max(1, lengths[pending[0]])
        batch = pending[: max(1, budget // longest)]
        try:
            result = work(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            budget = longest * len(batch) // 2
            torch.cuda.empty_cache()
            continue
        pending = pending[len(batch) :]
        yield batch, result
