"""Prompts as tensors: loss masking, padding, batches of similar length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from tunebench.prompts import Prompt, encoding
from tunebench.prompts.tokenization import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Example = dict[str, list[int]]  # `input_ids` and `labels`; for a pack also its rows' `lengths`

# larger batches do not fit a CPU's cache, and each operation allocates memory again: a model of
# 3.4M parameters scored two labels at 8,670 tokens/s in batches of 512 tokens, at 9,060 in batches
# of 1,024 and at 7,360 in batches of 2,048
CPU_BATCH_TOKENS = 1024

IGNORED = -100  # the label that torch's cross-entropy ignores


def examples(prompts: Sequence[Prompt], tokenizer: Tokenizer, *, loss_on: str) -> list[Example]:
    """Token ids and labels for training, ended by the template's or the tokenizer's end token.

    Args:
        loss_on: `completion` counts only the completion's tokens in the loss, `all` the prompt's
            too.
    """
    rows = []
    for context, completion in encoding.completions(tokenizer, prompts):
        masked = [IGNORED] * len(context) if loss_on == "completion" else list(context)
        rows.append({"input_ids": [*context, *completion], "labels": [*masked, *completion]})
    return rows


class Collator:
    """Rows of `examples`, or packs of them, as tensors of sequences × longest, padded on the right.

    Args:
        flat: flatten packs into one sequence without padding, for variable-length attention
            kernels (as transformers' `DataCollatorWithFlattening`).
    """

    def __init__(self, pad_id: int, *, flat: bool = False) -> None:
        self.pad_id = pad_id
        self.flat = flat

    def __call__(self, rows: Sequence[Example]) -> dict[str, Any]:
        """One batch: `input_ids`, `labels` and `row_lengths`, the length of each token's row.

        Padding has a row length of 0. A row's first token has no label, since nothing predicts it.
        Packs have `position_ids` that restart with each row, other batches an `attention_mask`.
        """
        lengths = [row.get("lengths") or [len(row["input_ids"])] for row in rows]
        packed = any("lengths" in row for row in rows)
        columns = {
            "input_ids": [row["input_ids"] for row in rows],
            "labels": [row["labels"] for row in rows],
            "row_lengths": [[size for size in sizes for _ in range(size)] for sizes in lengths],
            "position_ids": [list(chain.from_iterable(map(range, sizes))) for sizes in lengths],
        }
        flat = packed and self.flat
        if flat:
            columns = {name: [list(chain.from_iterable(row))] for name, row in columns.items()}
        fill = {"input_ids": self.pad_id, "labels": IGNORED}
        batch: dict[str, Any] = {
            name: pad(row, fill.get(name, 0))["input_ids"] for name, row in columns.items()
        }
        batch["labels"][batch["position_ids"] == 0] = IGNORED
        if not packed:
            del batch["position_ids"]
            batch["attention_mask"] = (batch["row_lengths"] > 0).long()
        return batch | (_boundaries(list(chain.from_iterable(lengths))) if flat else {})


def _boundaries(lengths: Sequence[int]) -> dict[str, Any]:
    """The rows' boundaries, named as in transformers' FlashAttentionKwargs."""
    import torch

    ends = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    return {f"cu_seq_lens_{side}": ends for side in "qk"} | {
        f"max_length_{side}": max(lengths) for side in "qk"
    }


class LengthWindows:
    """A sampler whose batches have rows of similar length.

    Rows are shuffled and divided into at least four windows of up to 50 batches (as in
    transformers' `LengthGroupedSampler`). Each window is sorted by length and divided into batches,
    then all batches are shuffled. A random remainder that fills no batch comes last. The order
    depends only on the seed and the epoch, so a resumed run sees the same one.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; called by accelerate's data loader."""
        self.epoch = epoch

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Indices of rows, batch after batch."""
        dice = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        dice.shuffle(order)
        whole = len(order) - len(order) % self.batch_size
        window = max(1, min(50, whole // self.batch_size // 4)) * self.batch_size
        rows: list[int] = []
        for start in range(0, whole, window):
            rows += sorted(order[start : min(start + window, whole)], key=self.lengths.__getitem__)
        batches = [
            rows[start : start + self.batch_size] for start in range(0, whole, self.batch_size)
        ]
        dice.shuffle(batches)
        last = sorted(order[whole:], key=self.lengths.__getitem__)  # it may be split into parts
        return chain(chain.from_iterable(batches), last)


def pad(
    rows: Sequence[Sequence[int]], value: int, *, side: str = "right"
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, both rows × longest row, padded with `value`."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), value, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return {"input_ids": ids, "attention_mask": mask}


def at_once(model: PreTrainedModel, tokens: int) -> int:
    """How many of `tokens` to run in one batch: on a CPU smaller batches are faster."""
    return min(tokens, CPU_BATCH_TOKENS) if model.device.type == "cpu" else tokens
