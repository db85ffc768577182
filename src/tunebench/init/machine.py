"""How much this machine can do: rows in a batch, test rows, and training rows.

Bounds for a proposal, not predictions: they only keep a first study from taking a day.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tunebench.config import machine
from tunebench.estimates import memory
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.memory import Kind
from tunebench.estimates.work import Training

# operations per second and core: SmolLM2-135M trained at 71 tokens/s in float32 on two cores
# (6 × 135e6 × 71 / 2); of a GPU with tensor cores, a third of what an A100 states in bfloat16
CORE_FLOPS = 29e9
GPU_FLOPS = 100e12
# budgets of one training, and of one evaluation, in seconds
TRAINING_S = 600.0
EVALUATION_S = 240.0
USED = 0.9  # of the free memory, by a training
FEWEST = 100  # rows of the largest size, whatever they take
TEST_ROWS = (1000, 500, 400, 200, 100, 50)
WRITTEN = 5  # a written token takes as long as some read ones, as each is a pass of its own


@dataclass(frozen=True)
class Machine:
    """The processor cores, the memory that is free, and whether there is a GPU."""

    cores: int
    free_bytes: int
    gpu: str = ""

    @classmethod
    def here(cls) -> Machine:
        """This machine; torch is imported where it shows a GPU only."""
        import psutil

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        free = int(psutil.virtual_memory().available)
        if machine.has_gpu():
            import torch

            if torch.cuda.is_available():
                free_bytes, _ = torch.cuda.mem_get_info()
                return cls(cores or 1, int(free_bytes), str(torch.cuda.get_device_name()))
        return cls(cores or 1, free)

    @property
    def flops(self) -> float:
        """Operations per second, roughly."""
        return GPU_FLOPS if self.gpu else CORE_FLOPS * self.cores

    def __str__(self) -> str:
        device = self.gpu or f"{self.cores} cores, no GPU"
        return f"{device}, {self.free_bytes / 1e9:.0f} GB free"

    def fits(self, parameters: int, dtype: str) -> bool:
        """Whether a model fits unquantized, with as much again for training an adapter."""
        return 2 * parameters * _bytes(dtype) < self.free_bytes

    def batch_size(self, wanted: int, *, models: Iterable[LoadedModel], tokens: int) -> int:
        """The rows of this length that train at once: `wanted`, halved until they fit.

        Args:
            models: the model as each method loads it.
        """
        kind: Kind = "cuda" if self.gpu else "cpu"
        for model in models:
            while wanted > 1 and _peak(model, wanted, tokens, kind) > USED * self.free_bytes:
                wanted //= 2
        return wanted

    def test_rows(self, available: int, *, parameters: int, tokens: float, written: int) -> int:
        """How many test rows one evaluation asks: all, or as many as its budget allows."""
        row_operations = 2.0 * parameters * (tokens + WRITTEN * written)
        affordable = EVALUATION_S * self.flops / row_operations
        if available <= min(affordable, TEST_ROWS[0]):
            return available
        rows = next((rows for rows in TEST_ROWS if rows <= affordable), TEST_ROWS[-1])
        return min(available, rows)

    def train_sizes(
        self, available: int, *, parameters: int, tokens: float, epochs: float, fewest: int
    ) -> list[int | float]:
        """Three nested sizes, each four times the one before it, the largest within the budget.

        Args:
            tokens: of a row, on average.
            fewest: rows that the smallest should have, as one for each label.
        """
        row_operations = 6.0 * parameters * tokens * max(epochs, 1.0)
        affordable = max(int(TRAINING_S * self.flops / row_operations), FEWEST, fewest)
        largest = available if affordable >= available else _round(affordable)
        smaller = [_round(largest // 16), _round(largest // 4)]
        rows = [size for size in dict.fromkeys(smaller) if max(fewest, 4) <= size < largest]
        return [*rows, 1.0 if largest == available else largest]


def _peak(model: LoadedModel, rows: int, tokens: int, kind: Kind) -> int:
    """Bytes at the peak of a training with batches of so many rows, all as long as can be."""
    work = Training(
        rows, steps=100, updates=100, tokens=100 * rows * tokens, longest=tokens, labelled=tokens
    )
    return memory.of_training(model, work, kind).total


def _bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _round(rows: int) -> int:
    """The largest of 1, 2, 5, 10, 20, 50, … that is not more.

    >>> [_round(rows) for rows in (1, 15, 60, 999)]
    [1, 10, 50, 500]
    """
    return max((size for size in _steps() if size <= max(rows, 1)), default=1)


def _steps() -> Iterator[int]:
    for exponent in range(10):
        yield from (10**exponent, 2 * 10**exponent, 5 * 10**exponent)
