"""Reading a label in what a model wrote."""

from __future__ import annotations

from collections.abc import Sequence


def match(text: str, labels: Sequence[str]) -> tuple[str | None, bool]:
    """The label that a written text is, and whether it is so to the letter.

    The text's first line counts. Case, white space and punctuation make no difference, unless they
    are all that tells two labels apart.
    """
    line = text.strip().split("\n", 1)[0].strip()
    if line in labels:
        return line, True
    found = [label for label in labels if _normal(label) == _normal(line)]
    return (found[0], False) if len(found) == 1 and _normal(line) else (None, False)


def _normal(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
