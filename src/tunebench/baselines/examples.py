"""The rows that a baseline learns from and answers, and what a kind of baseline is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from tunebench import paths
from tunebench.config.data import Dataset
from tunebench.data import sampling, tables
from tunebench.data.tables import COLUMNS, TextRow
from tunebench.paths import Run
from tunebench.prompts import Prompt

Answer = dict[str, Any]  # `answer`, and for a label the `scores` of all labels in nats

# log-probability of a label that no training row has: JSON has no minus infinity
NEVER = -20.0

S = TypeVar("S", contravariant=True)


@dataclass(frozen=True)
class Examples:
    """Texts with their targets: labels, or summaries."""

    texts: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[TextRow]) -> Examples:
        """Rows as examples; further columns of a data set follow the text, a line each."""
        rows = list(rows)
        return cls([text_of(row) for row in rows], [row["target"] for row in rows])


class Baseline(Protocol[S]):
    """A kind of baseline that has learnt, ready to answer."""

    @property
    def parameters(self) -> int:
        """How many numbers it learnt."""

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that it chose, and why, for the metrics of its training."""

    @classmethod
    def fit(cls, settings: S, training: Examples, validation: Examples) -> Self:
        """Learn from training rows; validation rows may be none."""

    def answer(self, texts: Sequence[str], labels: Sequence[str]) -> list[Answer]:
        """The answer to each text, of the data set's labels if it has any."""

    def save(self, folder: Path) -> None:
        """Write it to an empty folder, as JSON and safetensors."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""


def text_of(row: TextRow) -> str:
    """All that a row shows of itself, but its id and its answer."""
    return "\n".join([row["text"], *(row[name] for name in row if name not in COLUMNS)])


def training(dataset: Dataset, run: Run) -> tuple[Examples, Examples]:
    """The training and validation rows of a run: those that `subsample` chooses.

    Raises:
        ParameterError: if there are not that many rows.
    """
    parts = {
        split: Examples.of(tables.take(paths.split(run.dataset, source), indices))
        for split, (source, indices) in sampling.subset_of_run(dataset, run).items()
    }
    return parts["train"], parts.get("validation", Examples())


def test(dataset: Dataset, name: str) -> list[Prompt]:
    """The test rows, those that every other method answers; their prompt is the text alone."""
    rows = tables.stream(paths.split(name, "test"), sampling.test_sample_of(dataset, name))
    return [
        Prompt(
            id=row["id"],
            prompt=text_of(row),
            completion=row["target"],
            label=row["target"] if dataset.labelled else None,
        )
        for row in rows
    ]


def chosen_label(probabilities: dict[str, float], labels: Sequence[str]) -> Answer:
    """The likeliest label, the first of several, with the log-probability of each.

    Args:
        probabilities: of the labels that the training rows have.
    """
    scores = {
        label: round(max(NEVER, log(p)), 5) if (p := probabilities.get(label, 0.0)) else NEVER
        for label in labels
    }
    return {"answer": max(labels, key=lambda label: probabilities.get(label, 0.0)),
            "scores": scores}  # fmt: skip
