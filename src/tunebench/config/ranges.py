"""Ranges of values beyond their types, which a library checks late or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# what is expected, and whether a value is
Range = tuple[str, Callable[[Any], bool]]


def at_least(minimum: float) -> Range:
    """`minimum` or more."""
    return f"{minimum:g} or more", lambda value: value >= minimum


def between(minimum: float, maximum: float) -> Range:
    """From `minimum` to `maximum`, both included."""
    return f"from {minimum:g} to {maximum:g}", lambda value: minimum <= value <= maximum


def one_of(*words: str) -> Range:
    """One of these words."""
    return f"one of {', '.join(words)}", lambda value: value in words


POSITIVE: Range = ("above 0", lambda value: value > 0)
SHARE: Range = ("above 0 and at most 1", lambda value: 0 < value <= 1)
BELOW_ONE: Range = ("0 or more and below 1", lambda value: 0 <= value < 1)


def out_of_range(name: str, value: Any, ranges: Mapping[str, Range]) -> Iterator[str]:
    """A line if a number is not finite, or a value outside the range that its name has."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{name}: {value!r} is no finite number"
    elif name in ranges and value is not None:
        expected, holds = ranges[name]
        if not _holds(holds, value):
            yield f"{name}: {value!r} should be {expected}"


def _holds(holds: Callable[[Any], bool], value: Any) -> bool:
    try:
        return holds(value)
    except (TypeError, ValueError):  # of a text in a list of numbers, or an empty list
        return False
