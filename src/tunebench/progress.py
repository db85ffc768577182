"""Progress bars: one look everywhere, nothing at all for work that ends at once."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

# a bar appears only after this long, so that short work leaves no trace on the screen
DELAY_S = 2.0


def bar(*, total: int, unit: str) -> tqdm[Any]:
    """A progress bar for work that may take more than a few seconds."""
    return tqdm(total=total, unit=unit, delay=DELAY_S, mininterval=0.5, leave=False)
