"""Rows that share a sequence are trained on as if each had its own."""

import random
from collections import Counter
from typing import Any

import pytest
from jobs import assert_same_gradients, gradients

from tunebench.prompts import batching
from tunebench.training import packing

PAD = 3


def row(*ids: int) -> batching.Example:
    return {"input_ids": list(ids), "labels": [-100, *ids[1:]]}


def some_rows(lengths: list[int], *, seed: int = 0) -> list[batching.Example]:
    """Rows of random tokens, the second half of each in the loss."""
    dice = random.Random(seed)
    rows = []
    for length in lengths:
        ids = dice.choices(range(6, 300), k=length)
        half = length // 2
        rows.append({"input_ids": ids, "labels": [-100] * half + ids[half:]})
    return rows


def test_concatenated_rows_are_strung_together() -> None:
    rows = [
        {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
        {"input_ids": [4, 5, 6, 7], "labels": [-100, -100, 6, 7]},
    ]
    assert packing.concatenated(rows, 4) == [
        {"input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, -100]},
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
    ]
    assert packing.concatenated(rows, 100) == [
        {"input_ids": [1, 2, 3, 4, 5, 6, 7], "labels": [-100, 2, 3, -100, -100, 6, 7]}
    ]


def test_packs_are_filled_where_the_least_room_is_left() -> None:
    rows = [row(1, 1), row(2, 2, 2), row(3), row(4, 4, 4, 4), row(5, 5, 5, 5, 5, 5, 5)]
    packs = packing.packed(rows, 5, seed=0)
    assert [pack["input_ids"] for pack in packs] == [
        [5, 5, 5, 5, 5, 5, 5],  # too long for any, so alone
        [4, 4, 4, 4, 3],
        [2, 2, 2, 1, 1],
    ]
    assert [pack["lengths"] for pack in packs] == [[7], [4, 1], [3, 2]]
    assert packs[2]["labels"] == [-100, 2, 2, -100, 1]


def test_packs_hold_every_row_whole_once() -> None:
    dice = random.Random(0)
    rows = some_rows([dice.randint(2, 60) for _ in range(300)])
    packs = packing.packed(rows, 64, seed=0)
    found = Counter()
    for pack in packs:
        assert len(pack["input_ids"]) == len(pack["labels"]) == sum(pack["lengths"]) <= 64
        start = 0
        for size in pack["lengths"]:
            found[tuple(pack["input_ids"][start : start + size])] += 1
            start += size
    assert found == Counter(tuple(row["input_ids"]) for row in rows)
    tokens = sum(len(row["input_ids"]) for row in rows)
    assert len(packs) <= 1.06 * tokens / 64


def test_seed_decides_which_rows_of_a_length_meet() -> None:
    rows = some_rows([4] * 20)
    first, again, other = (packing.packed(rows, 8, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == len(other) == 10


APART = {"mistral": True, "gpt_neox": True, "gpt2": True, "bloom": False, "mamba": False}


def test_architectures_are_tried(architecture: tuple[str, Any]) -> None:
    name, model = architecture
    rows = some_rows([30, 20, 25])  # longer than mistral's sliding window
    assert packing.keeps_rows_apart(model, rows, PAD) is APART[name]
    assert not model.training


def test_virtual_tokens_mix_packed_rows(answering: Any) -> None:
    virtual = (
        answering.peft_config["default"].is_prompt_learning
        if hasattr(answering, "peft_config")
        else False
    )
    assert packing.keeps_rows_apart(answering, some_rows([9, 12, 7]), PAD) is not virtual


def gradients_of(model: Any, rows: list[batching.Example]) -> dict[str, Any]:
    batch = batching.Collator(PAD)(rows)
    inputs = {name: value for name, value in batch.items() if name != "row_lengths"}
    return gradients(model, model(**inputs, use_cache=False).loss)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_gradients_are_those_of_rows_apart(
    attention: str, architecture: tuple[str, Any]
) -> None:
    name, model = architecture
    if not APART[name]:
        assert not packing.keeps_rows_apart(model, some_rows([9, 12]), PAD)
        return
    model.set_attn_implementation(attention)
    rows = some_rows([20, 5, 30, 11, 2, 24])
    packs = packing.packed(rows, 40, seed=0)
    assert 2 < len(packs) < 6
    assert_same_gradients(gradients_of(model, packs), gradients_of(model, rows))


def test_packed_gradients_of_an_adapter(answering: Any) -> None:
    rows = some_rows([20, 5, 30, 11, 2, 24])
    if not packing.keeps_rows_apart(answering, rows, PAD):
        assert answering.peft_config["default"].is_prompt_learning
        return
    packs = packing.packed(rows, 40, seed=0)
    right = gradients_of(answering, rows)
    assert_same_gradients(gradients_of(answering, packs), right)
