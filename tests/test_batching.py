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


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_batches_hold_each_row_once_the_longest_first(size: int) -> None:
    lengths = [7, 1, 9, 9, 3, 5, 2, 8, 4, 6]
    batches = list(batching.by_length(lengths, size))
    flat = [index for batch in batches for index in batch]
    assert sorted(flat) == list(range(10))
    assert [lengths[index] for index in flat] == sorted(lengths, reverse=True)
    assert len(batches) == -(-10 // size)
    assert all(len(batch) <= size for batch in batches)


def test_no_rows_make_no_batch() -> None:
    assert list(batching.by_length([], 4)) == []


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
