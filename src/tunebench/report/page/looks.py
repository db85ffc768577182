"""One colour and one shape for each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# each has a contrast of 3 or more to white and to the dark background (WCAG 1.4.11); those that a
# colour-blind eye confuses differ in shape, as every two of the first 8 methods do
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b3589a", "#808080", "#3d9bd6", "#a07d00")
# Vega's names of shapes, and the same as paths of an 18 × 18 box for the legend
SHAPES = {
    "circle": "M9 3a6 6 0 1 0 .01 0z",
    "square": "M4 4h10v10H4z",
    "triangle-up": "M9 3l6.5 11.5h-13z",
    "diamond": "M9 2l6 7-6 7-6-7z",
    "cross": "M7 3h4v4h4v4h-4v4H7v-4H3V7h4z",
    "triangle-down": "M9 15L2.5 3.5h13z",
    "triangle-right": "M15 9L3.5 15.5v-13z",
    "triangle-left": "M3 9L14.5 2.5v13z",
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    method: str
    colour: str
    shape: str

    @property
    def path(self) -> str:
        """Its shape as an SVG path in a box of 18 × 18."""
        return SHAPES[self.shape]


def of(methods: Sequence[str]) -> dict[str, Look]:
    """A look for each method, by its place in the grid.

    Seven colours and eight shapes: 56 methods differ from one another.
    """
    shapes = list(SHAPES)
    return {
        method: Look(method, COLOURS[index % len(COLOURS)], shapes[index % len(shapes)])
        for index, method in enumerate(methods)
    }
