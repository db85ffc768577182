"""Which tokens count in the loss, where padding stands, how rows are grouped."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tunebench.models import memory
from tunebench.prompts import Prompt, batching, tokenization

MakePrompts = Callable[..., list[Prompt]]


def test_loss_counts_the_completion_and_the_end(tokenizer: Any, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(5)
    rows = batching.examples(prompts, tokenizer, loss_on="completion")
    assert len(rows) == 5
    for prompt, row in zip(prompts, rows, strict=True):
        counted = [label for label in row["labels"] if label != batching.IGNORED]
        assert tokenizer.decode(counted) == f" {prompt.completion}</s>"
        assert row["input_ids"][-len(counted) :] == counted
        masked = len(row["labels"]) - len(counted)
        assert row["labels"][:masked] == [batching.IGNORED] * masked
        assert tokenizer.decode(row["input_ids"]) == f"<s>{prompt.prompt}{prompt.completion}</s>"


def test_loss_on_all_counts_every_token(tokenizer: Any, make_prompts: MakePrompts) -> None:
    rows = batching.examples(make_prompts(5), tokenizer, loss_on="all")
    assert len(rows) == 5
    for row in rows:
        assert row["labels"] == row["input_ids"]
        assert row["labels"][-1] == tokenizer.eos_token_id


def test_training_and_scoring_see_the_same_tokens(
    tokenizer: Any, make_prompts: MakePrompts
) -> None:
    (prompt,) = make_prompts(1)
    (row,) = batching.examples([prompt], tokenizer, loss_on="completion")
    context, answer = tokenization.encode_pair(
        tokenizer, prompt.marked_prompt, prompt.marked_completion
    )
    assert row["input_ids"] == [*context, *answer, tokenizer.eos_token_id]


def test_collator_pads_on_the_right() -> None:
    rows = [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
        {"input_ids": [8], "labels": [8]},
    ]
    batch = batching.Collator(pad_id=3)(rows)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 3, 3]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[-100, 6, 7], [-100, -100, -100]],
        "row_lengths": [[3, 3, 3], [1, 0, 0]],
    }


def test_padding_on_the_left() -> None:
    batch = batching.pad([[5, 6], [7]], 3, side="left")
    assert batch["input_ids"].tolist() == [[5, 6], [3, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1], [0, 1]]


LENGTHS = [7, 1, 9, 9, 3, 5, 2, 8, 4, 6]


@pytest.mark.parametrize("budget", [1, 9, 20, 1000])
def test_batches_hold_each_row_once_the_longest_first(budget: int) -> None:
    batches = [batch for batch, _ in memory.within_budget(LENGTHS, budget, len)]
    flat = [index for batch in batches for index in batch]
    assert sorted(flat) == list(range(10))
    assert [LENGTHS[index] for index in flat] == sorted(LENGTHS, reverse=True)
    padded = [len(batch) * max(LENGTHS[index] for index in batch) for batch in batches]
    assert all(
        size <= budget or len(batch) == 1 for size, batch in zip(padded, batches, strict=True)
    )
    assert len(batches) == {1: 10, 9: 8, 20: 4, 1000: 1}[budget]


def test_budget_is_halved_where_memory_ends() -> None:
    import torch

    tried = []

    def work(batch: list[int]) -> int:
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return len(batch)

    done = list(memory.within_budget(LENGTHS, 1000, work))
    assert tried[:3] == [10, 5, 2]
    assert max(tried[2:]) <= 3 or 5 in tried[2:]
    assert sorted(index for batch, _ in done for index in batch) == list(range(10))


def test_one_row_that_does_not_fit_the_memory() -> None:
    import torch

    def work(_: list[int]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(memory.within_budget(LENGTHS, 1000, work))


def test_no_rows_make_no_batch() -> None:
    assert list(memory.within_budget([], 4, len)) == []


ROWS = [
    {"input_ids": [5, 6, 7, 5, 6], "labels": [-100, 6, 7, 5, 6], "lengths": [3, 2]},
    {"input_ids": [8, 9], "labels": [8, 9], "lengths": [2]},
]


def test_collator_begins_positions_again_with_each_row() -> None:
    batch = batching.Collator(pad_id=3)(ROWS)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7, 5, 6], [8, 9, 3, 3, 3]],
        "position_ids": [[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]],
        "labels": [[-100, 6, 7, -100, 6], [-100, 9, -100, -100, -100]],
        "row_lengths": [[3, 3, 3, 2, 2], [2, 2, 0, 0, 0]],
    }


def test_flat_batches_are_those_of_the_library() -> None:
    import torch
    from transformers import DataCollatorWithFlattening

    batch = batching.Collator(pad_id=3, flat=True)(ROWS)
    assert batch.pop("row_lengths").tolist() == [[3, 3, 3, 2, 2, 2, 2]]
    apart = [([5, 6, 7], [-100, 6, 7]), ([5, 6], [5, 6]), ([8, 9], [8, 9])]
    rows = [{"input_ids": ids, "labels": labels} for ids, labels in apart]
    expected = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(rows)
    assert set(batch) == set(expected)
    assert len(batch) == 7
    for name, value in expected.items():
        if torch.is_tensor(value):
            assert batch[name].dtype == value.dtype
            assert torch.equal(batch[name], value), name
        else:
            assert batch[name] == value, name


def epoch_of(sampler: batching.LengthWindows, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize(("rows", "size"), [(1, 4), (3, 4), (50, 4), (1003, 8), (4096, 4)])
def test_every_row_comes_once_in_an_epoch(rows: int, size: int) -> None:
    dice = random.Random(rows)
    sampler = batching.LengthWindows([dice.randint(1, 99) for _ in range(rows)], size, seed=0)
    assert len(sampler) == rows
    first, second = epoch_of(sampler, 0), epoch_of(sampler, 1)
    assert sorted(first) == sorted(second) == list(range(rows))
    assert first == epoch_of(sampler, 0)
    if rows > size:
        assert first != second
        other = batching.LengthWindows(sampler.lengths, size, seed=1)
        assert first != epoch_of(other, 0)


def padding(lengths: list[int], order: list[int], size: int) -> float:
    """The share of padding in batches of this order."""
    batches = [[lengths[i] for i in order[start : start + size]] for start in range(0, 1000, size)]
    return 1 - sum(lengths) / sum(size * max(batch) for batch in batches)


def test_batches_hold_rows_of_like_length() -> None:
    dice = random.Random(0)
    lengths = [dice.randint(10, 200) for _ in range(1000)]
    windows = epoch_of(batching.LengthWindows(lengths, 8, seed=0), 0)
    shuffled = dice.sample(range(1000), 1000)
    assert padding(lengths, windows, 8) < 0.05
    assert padding(lengths, shuffled, 8) > 0.35


@pytest.mark.parametrize("rows", [32, 200])
def test_long_rows_come_neither_early_nor_late(rows: int) -> None:
    size, batches, long = 4, rows // 4, rows // 8
    lengths = [1000 if index < long else index % 7 for index in range(rows)]
    places = []
    for seed in range(600):
        order = epoch_of(batching.LengthWindows(lengths, size, seed=seed), seed % 3)
        places += [order.index(index) // size for index in range(long)]
    # long rows share a batch: 600 draws of a uniform place have a standard error of .012
    assert abs(sum(places) / len(places) / (batches - 1) - 0.5) < 0.05
    counts = [places.count(batch) / len(places) * batches for batch in range(batches)]
    assert min(counts) > 0.5
    assert max(counts) < 1.6
