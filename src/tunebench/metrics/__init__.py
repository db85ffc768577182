"""Metrics of predictions.

- `classes`: accuracy, F1, calibration
- `texts`, `words`: ROUGE in any script
- `reading`: which label a generated answer names
- `statistics`: intervals of means, proportions, quantiles, seeds
- `macro_f1`: the interval of macro-averaged F1
- `paired`: whether two methods differ on the same rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunebench.metrics.classes import (
    calibration,
    classification,
    classification_intervals,
    narrow_interval,
    per_class,
)
from tunebench.metrics.reading import match
from tunebench.metrics.texts import ROUGE, rouge, rouge_tokenization

__all__ = [
    "HEADLINE",
    "QUALITY",
    "ROUGE",
    "calibration",
    "classification",
    "classification_intervals",
    "interval",
    "match",
    "means",
    "narrow_interval",
    "per_class",
    "rouge",
    "rouge_tokenization",
    "summarization",
]

QUALITY = ("accuracy", "macro_f1", *ROUGE)

# a task's first metric, in tables and curves
HEADLINE = {"classification": "accuracy", "summarization": "rouge1"}


def interval(metric: str) -> tuple[str, str]:
    """The names of the lower and upper end of a metric's 95% interval."""
    return f"{metric}_low", f"{metric}_high"


def summarization(gold: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """The mean of each `rouge` over the rows."""
    return means(rouge(gold, answers))


def means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Metric → its mean over the rows."""
    return {name: sum(row) / len(row) for name, row in values.items()}
