"""How much one training and one file of prompts have to do: rows, steps, tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Training:
    """One training: `rows` at once in each of `steps` forward and backward passes.

    `tokens` are those of all epochs, `longest` those of a batch's longest row, `labelled` the mean
    of a row's tokens that count in the loss; `updates` are the optimizer's steps.
    """

    rows: int
    steps: int
    updates: int
    tokens: float
    longest: int
    labelled: float
    checkpointing: bool = False
    optimizer: str = "adamw_torch"
    accumulation: int = 1
    packing: bool = False


@dataclass(frozen=True)
class Answering:
    """The answers to a file of prompts, `draws` times.

    Of each prompt `fresh` tokens are run, without those that all prompts share; `labels` are scored
    after it, or `written` tokens follow, `limit` at most. `prompt` is the mean of all its tokens,
    `longest` the longest prompt's.
    """

    rows: int
    draws: int
    fresh: float
    prompt: float
    labels: int
    written: float
    limit: int
    longest: int
    batch_tokens: int
    forgetting_rows: int = 0

    @property
    def read_tokens(self) -> float:
        """Tokens that are run and not written."""
        return self.draws * self.rows * (self.fresh + self.labels)

    @property
    def written_tokens(self) -> float:
        """Tokens that are written."""
        return self.draws * self.rows * self.written


def smaller(work: Training, rows: int) -> Training:
    """The same training with fewer rows at once, and as many in an optimizer step."""
    factor = math.ceil(work.rows / rows)
    return replace(
        work, rows=rows, steps=work.steps * factor, accumulation=work.accumulation * factor
    )
