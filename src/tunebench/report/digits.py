"""Numbers as people read them: with a unit, and as many digits as their interval carries."""

from __future__ import annotations

import math
from typing import Any

from tunebench import metrics

MOST_DECIMALS = 6


def cell(value: Any, column: str) -> str:
    """A formatted number, with the unit that its column's name tells.

    >>> cell(0.8125, "accuracy"), cell(3_145_728, "adapter_bytes"), cell(None, "loss")
    ('81.2', '3.15 MB', '')
    """
    if value is None or value == "":
        return ""
    if column.endswith("_bytes"):
        unit, size = ("GB", 1e9) if value >= 1e9 else ("MB", 1e6) if value >= 1e6 else ("kB", 1e3)
        return f"{value / size:.3g} {unit}"
    if column.startswith((*metrics.QUALITY, "answers_that_differ")):
        return f"{100 * value:.1f}"
    if column == "forgetting":
        return f"{value:+.3f}"
    if column.startswith("usd"):
        return f"${value:,.0f}" if value >= 1000 else f"${value:.4g}"
    if column.endswith("_s") and not column.endswith("_per_s"):
        return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def decimals(low: float, high: float) -> int:
    """How many decimals a number with this interval carries.

    Two significant digits of half its width, as the Guide to the Expression of Uncertainty in
    Measurement (7.2.6) has it.

    >>> decimals(83.6, 90.2), decimals(-0.02, 0.01), decimals(100, 900)
    (1, 3, 0)
    """
    half = (high - low) / 2
    if half <= 0 or not math.isfinite(half):
        return 0
    return min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(half))))


def plain(value: float) -> str:
    """A number without an interval, to three digits.

    >>> plain(0.012345), plain(12345.6), plain(7.0)
    ('0.0123', '12,346', '7')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(MOST_DECIMALS + 3, places)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(value: float, low: float | None, high: float | None) -> str:
    """A number and its interval, all with the decimals that the interval carries.

    >>> with_interval(87.25, 83.6235, 90.1679), with_interval(3.14159, None, None)
    ('87.2 (83.6 to 90.2)', '3.14')
    >>> with_interval(2.5, -0.004, 5.0)
    '2.5 (0.0 to 5.0)'
    """
    if low is None or high is None or not low < high or not math.isfinite(high - low):
        return plain(value)
    places = decimals(low, high)
    # adding zero: -0.04 is 0.0, not -0.0
    middle, lower, upper = (
        f"{round(each, places) + 0.0:,.{places}f}" for each in (value, low, high)
    )
    return f"{middle} ({lower} to {upper})"


def rounded(value: float, low: float | None, high: float | None) -> str:
    """The number alone, with the decimals that its interval carries.

    >>> rounded(87.25, 83.6235, 90.1679)
    '87.2'
    """
    return with_interval(value, low, high).partition(" (")[0]
