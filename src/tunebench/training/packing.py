"""Several rows in one sequence, each keeping its attention to itself, or strung together."""

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
    """Rows strung together and cut into sequences of `length` tokens; the last may be shorter.

    Attention runs from one row into the next, as in TRL's `packing` of 2023, which the published
    studies used. A sequence in which no token counts in the loss is left out.
    """
    strung = _joined(rows)
    cut = [
        {name: ids[start : start + length] for name, ids in strung.items()}
        for start in range(0, len(strung["input_ids"]), length)
    ]
    return [sequence for sequence in cut if any(id_ != IGNORED for id_ in sequence["labels"][1:])]


def packed(rows: Sequence[Example], length: int, *, seed: int) -> list[Example]:
    """Rows in as few sequences of up to `length` tokens as best-fit decreasing finds, all whole.

    The longest come first, rows of one length in an order that the seed draws; each goes where the
    least room is left that takes it. One longer than `length` is alone. `lengths` of a sequence are
    those of its rows.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda index: -len(rows[index]["input_ids"]))
    packs: list[list[Example]] = []
    room: list[tuple[int, int]] = []  # tokens left and the pack, the fullest first
    for index in order:
        size = len(rows[index]["input_ids"])
        place = bisect_left(room, (size, 0))
        left, pack = room.pop(place) if place < len(room) else (max(length, size), len(packs))
        if pack == len(packs):
            packs.append([])
        packs[pack].append(rows[index])
        insort(room, (left - size, pack))
    return [_pack(pack) for pack in packs]


def _pack(rows: Sequence[Example]) -> Example:
    return {**_joined(rows), "lengths": [len(row["input_ids"]) for row in rows]}


def _joined(rows: Sequence[Example]) -> Example:
    return {
        name: list(chain.from_iterable(row[name] for row in rows))
        for name in ("input_ids", "labels")
    }


def is_flat(model: PreTrainedModel) -> bool:
    """Whether the attention kernel takes rows of any length behind one another, in one sequence."""
    return "flash" in (getattr(model.config, "_attn_implementation", None) or "")


def keeps_rows_apart(model: PreTrainedModel, rows: Sequence[Example], pad_id: int) -> bool:
    """Whether a model gives rows in one sequence the logits that it gives them alone.

    A state that runs through the sequence, virtual tokens in front of it, positions that cannot
    begin again: any of these mixes the rows. So two are tried, the shortest.
    """
    import torch

    trial = sorted(rows, key=lambda row: len(row["input_ids"]))[:2]
    together = Collator(pad_id, flat=is_flat(model))([_pack(trial)])

    def logits() -> tuple[torch.Tensor, torch.Tensor]:
        with shortcuts.inference(model):
            alone = [_logits(model, Collator(pad_id)([row]))[0] for row in trial]
            return _logits(model, together)[0], torch.cat(alone)

    found = shortcuts.unless_refused(logits)
    if found is None:
        return False
    packed_logits, right = found
    furthest = (packed_logits - right).abs().max()
    return bool(furthest <= shortcuts.tolerance(model) * right.abs().max())


def _logits(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sequences × tokens × vocabulary, virtual tokens apart."""
    import torch

    inputs = {
        name: value.to(model.device) if torch.is_tensor(value) else value
        for name, value in batch.items()
        if name not in ("labels", "row_lengths")
    }
    length = inputs["input_ids"].shape[1]
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[:, -length:].float()
