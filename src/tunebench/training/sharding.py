"""Rows divided among processes so that none is seen twice.

If an epoch's last batches are uneven, accelerate fills them with rows from its start, so the loss
differs from a single process's. Here they are filled with rows that do not count in the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler

from tunebench.prompts.batching import IGNORED, Example


class Rows(list[Example]):
    """Training rows; the index after the last one is a blank row without labels."""

    def __getitem__(self, index: Any) -> Any:
        """A row, or the blank one."""
        if index == len(self):
            return {"input_ids": self[0]["input_ids"][:1], "labels": [IGNORED]}
        return super().__getitem__(index)


class EvenBatches(BatchSampler):
    """The batches of another sampler, the last ones padded with blank rows for each process."""

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
