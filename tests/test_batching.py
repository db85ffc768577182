"""Which tokens count in the loss, where padding stands, how rows are grouped."""

from collections.abc import Callable
from typing import Any

import pytest

from tunebench import batching, tokenization
from tunebench.prompts import Prompt

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
    context, answer = tokenization.encode_pair(tokenizer, prompt.shown, prompt.learned)
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
        "labels": [[-100, 6, 7], [8, -100, -100]],
    }


def test_padding_on_the_left() -> None:
    batch = batching.pad([[5, 6], [7]], 3, side="left")
    assert batch["input_ids"].tolist() == [[5, 6], [3, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1], [0, 1]]


LENGTHS = [7, 1, 9, 9, 3, 5, 2, 8, 4, 6]


@pytest.mark.parametrize("budget", [1, 9, 20, 1000])
def test_batches_hold_each_row_once_the_longest_first(budget: int) -> None:
    batches = [batch for batch, _ in batching.within_budget(LENGTHS, budget, len)]
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

    done = list(batching.within_budget(LENGTHS, 1000, work))
    assert tried[:3] == [10, 5, 2]
    assert max(tried[2:]) <= 3 or 5 in tried[2:]
    assert sorted(index for batch, _ in done for index in batch) == list(range(10))


def test_one_row_that_does_not_fit_the_memory() -> None:
    import torch

    def work(_: list[int]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(batching.within_budget(LENGTHS, 1000, work))


def test_no_rows_make_no_batch() -> None:
    assert list(batching.within_budget([], 4, len)) == []


def test_packing_strings_rows_together() -> None:
    rows = [
        {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
        {"input_ids": [4, 5, 6, 7], "labels": [-100, -100, 6, 7]},
    ]
    assert batching.pack(rows, 4) == [
        {"input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, -100]},
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
    ]
    assert batching.pack(rows, 100) == [
        {"input_ids": [1, 2, 3, 4, 5, 6, 7], "labels": [-100, 2, 3, -100, -100, 6, 7]}
    ]
