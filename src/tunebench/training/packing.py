"""Several rows in one sequence: packed, with attention within each row, or concatenated."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from tunebench.models import shortcuts
from tunebench.prompts.batching import IGNORED, Collator, Example

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def concatenated(rows: Sequence[Example], length: int) -> list[Example]:
    """Rows concatenated and cut into sequences of `length` tokens; the last may be shorter.

    Attention crosses row boundaries, as in TRL's `packing` of 2023, which the published studies
    used. Sequences without a label are dropped.
    """
    joined = _joined(rows)
    sequences = [
        {name: ids[start : start + length] for name, ids in joined.items()}
        for start in range(0, len(joined["input_ids"]), length)
    ]
    return [
        sequence for sequence in sequences if any(id_ != IGNORED for id_ in sequence["labels"][1:])
    ]


def packed(rows: Sequence[Example], length: int, *, seed: int) -> list[Example]:
    """Rows packed by best-fit decreasing into sequences of up to `length` tokens; none is cut.

    The longest rows come first, ties in random order; each goes into the fullest sequence that has
    room for it. A row longer than `length` gets its own. `lengths` of a sequence are those of its
    rows.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda index: -len(rows[index]["input_ids"]))
    packs: list[list[Example]] = []
    free_tokens: list[tuple[int, int]] = []  # free tokens and index of each pack, fullest first
    for index in order:
        size = len(rows[index]["input_ids"])
        place = bisect_left(free_tokens, (size, 0))
        free, pack = (
            free_tokens.pop(place) if place < len(free_tokens) else (max(length, size), len(packs))
        )
        if pack == len(packs):
            packs.append([])
        packs[pack].append(rows[index])
        insort(free_tokens, (free - size, pack))
    return [_pack(pack) for pack in packs]


def _pack(rows: Sequence[Example]) -> Example:
    return {**_joined(rows), "lengths": [len(row["input_ids"]) for row in rows]}


def _joined(rows: Sequence[Example]) -> Example:
    return {
        name: list(chain.from_iterable(row[name] for row in rows))
        for name in ("input_ids", "labels")
    }


def is_flat(model: PreTrainedModel) -> bool:
    """Whether the attention kernel takes rows of different lengths as one flat sequence."""
    return "flash" in (getattr(model.config, "_attn_implementation", None) or "")


def keeps_rows_apart(model: PreTrainedModel, rows: Sequence[Example], pad_id: int) -> bool:
    """Whether packed rows get the same logits as separate ones, tried on the two shortest.

    Recurrent state, virtual tokens in front or position ids that cannot restart would mix them.
    """
    import torch

    trial = sorted(rows, key=lambda row: len(row["input_ids"]))[:2]
    packed_batch = Collator(pad_id, flat=is_flat(model))([_pack(trial)])

    def logits() -> tuple[torch.Tensor, torch.Tensor]:
        with shortcuts.inference(model):
            separate = [_logits(model, Collator(pad_id)([row]))[0] for row in trial]
            return _logits(model, packed_batch)[0], torch.cat(separate)

    result = shortcuts.unless_refused(logits)
    if result is None:
        return False
    packed_logits, expected = result
    max_difference = (packed_logits - expected).abs().max()
    return bool(max_difference <= shortcuts.tolerance(model) * expected.abs().max())


def _logits(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sequences × tokens × vocabulary, without virtual tokens."""
    import torch

    inputs = {
        name: value.to(model.device) if torch.is_tensor(value) else value
        for name, value in batch.items()
        if name not in ("labels", "row_lengths")
    }
    length = inputs["input_ids"].shape[1]
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[:, -length:].float()
