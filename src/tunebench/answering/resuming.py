"""Batches that a killed run has answered already, and that are not answered again."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import TypeVar

T = TypeVar("T")
# a row's index → its labels' scores, or the tokens that were generated
Finished = MutableMapping[int, list[T]]


def resumed(
    work: Callable[[list[int]], Sequence[list[T]]], finished: Finished[T] | None
) -> Callable[[list[int]], Sequence[list[T]]]:
    """`work` on batches of indices, which takes a batch that is in `finished`, and adds others.

    A batch of which only some rows are finished is run whole, so that each row's numbers are those
    of an uninterrupted run. None keeps nothing.
    """
    if finished is None:
        return work

    def run(indices: list[int]) -> Sequence[list[T]]:
        if all(index in finished for index in indices):
            return [finished[index] for index in indices]
        rows = work(indices)
        finished.update(zip(indices, rows, strict=True))
        return rows

    return run
