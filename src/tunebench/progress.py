"""Progress bars that all look the same, and are not shown for short work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

# a bar appears only after this long, so that short work leaves no trace on the screen
DELAY_S = 2.0
T = TypeVar("T")


def bar(*, total: int, unit: str) -> tqdm[Any]:
    """A progress bar for work that may take more than a few seconds."""
    return tqdm(total=total, unit=unit, delay=DELAY_S, mininterval=0.5, leave=False)


def over(items: Iterable[T], *, unit: str) -> Iterable[T]:
    """The items, counted on a bar; their number need not be known."""
    counted: Iterable[T] = tqdm(
        items, unit=unit, unit_scale=True, delay=DELAY_S, mininterval=0.5, leave=False
    )
    return counted
