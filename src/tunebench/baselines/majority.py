"""Always the commonest label of the training rows, by the share that each label has there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tunebench import results
from tunebench.baselines.examples import Answer, Examples, chosen_label
from tunebench.config.baselines import MajorityMethod

FILE = "model.json"


@dataclass(frozen=True)
class Majority:
    """How many training rows each label has."""

    counts: dict[str, int]

    @property
    def parameters(self) -> int:
        """One count for each label."""
        return len(self.counts)

    @property
    def chosen(self) -> dict[str, Any]:
        """Nothing is chosen."""
        return {}

    @classmethod
    def fit(cls, settings: MajorityMethod, training: Examples, validation: Examples) -> Self:
        """Count the labels."""
        del settings, validation
        return cls(dict(sorted(Counter(training.targets).items())))

    def answer(self, texts: Sequence[str], labels: Sequence[str]) -> list[Answer]:
        """The same label for every text."""
        rows = sum(self.counts.values())
        shares = {label: count / rows for label, count in self.counts.items()}
        return [chosen_label(shares, labels)] * len(texts)

    def save(self, folder: Path) -> None:
        """Write the counts as JSON."""
        results.write(folder / FILE, {"counts": self.counts})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them."""
        return cls(results.read(folder / FILE)["counts"])
