"""Rows shared out among processes so that none is seen twice.

Where the last batches of an epoch do not come out even, accelerate fills them with rows from its
beginning, and the loss is not one process's. Rows that count in no loss fill them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler

from tunebench.prompts.batching import IGNORED, Example


class Rows(list[Example]):
    """Training rows; behind the last one stands, uncounted, a row without a label."""

    def __getitem__(self, index: Any) -> Any:
        """A row."""
        if index == len(self):
            return {"input_ids": self[0]["input_ids"][:1], "labels": [IGNORED]}
        return super().__getitem__(index)


class EvenBatches(BatchSampler):
    """The batches of another sampler, the last ones filled up to one for each process."""

    def __init__(self, batches: BatchSampler, *, rows: int, processes: int) -> None:
        super().__init__(batches.sampler, batches.batch_size, drop_last=False)
        self._batches, self._blank, self._processes = batches, rows, processes

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of `Rows`."""
        count = 0
        for batch in self._batches:
            yield batch + [self._blank] * (self.batch_size - len(batch))
            count += 1
        for _ in range(-count % self._processes):
            yield [self._blank] * self.batch_size

    def __len__(self) -> int:
        """Batches of all processes together."""
        return len(self._batches) + -len(self._batches) % self._processes
