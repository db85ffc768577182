"""One run as text: what it scored, what made it, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunebench import paths, results
from tunebench.paths import Run


def describe(run: Run, *, rows: int) -> Iterator[str]:
    """The run's metrics, its settings, then `rows` predictions, wrong answers first.

    Raises:
        SourceError: if the run has not been made.
    """
    predictions = results.read_lines(paths.predictions(run))
    yield f"{run}"
    for name, value in results.read(paths.evaluation(run)).items():
        yield f"  {name}: {value}"
    yield "settings"
    for name, value in results.read(paths.predictions_provenance(run))["settings"].items():
        yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"
    # stable, so that rows of like merit keep the test sample's order
    for prediction in sorted(predictions, key=lambda row: row["answer"] == row["gold"])[:rows]:
        yield from _prediction(prediction)


def _prediction(row: dict[str, Any]) -> Iterator[str]:
    yield f"\n{row['id']}"
    yield "  " + row["prompt"].replace("\n", "\n  ")
    yield f"  answer: {row['answer']}"
    yield f"  gold:   {row['gold']}"
    if "scores" in row:
        best = sorted(row["scores"].items(), key=lambda item: -item[1])
        yield "  scores: " + ", ".join(f"{label} {score:.3f}" for label, score in best)
