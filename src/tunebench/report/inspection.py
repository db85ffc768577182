"""One run as text: its metrics, its settings and its worst predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tunebench import paths, results
from tunebench.paths import Run


def describe(run: Run, *, worst: int) -> Iterator[str]:
    """The run's metrics, its settings, then its `worst` predictions.

    For classification the most confident errors come first, for summaries the lowest ROUGE-1.

    Raises:
        SourceError: if the run has no results yet.
    """
    predictions = results.read_lines(paths.predictions(run))
    yield f"{run}"
    yield from _indented(results.read(paths.evaluation(run)))
    yield "settings"
    for name, value in results.read(paths.predictions_provenance(run))["settings"].items():
        yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"
    for prediction in sorted(predictions, key=_merit)[:worst]:
        yield from _prediction(prediction)


def _merit(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort key: wrong answers first, then by the gold label's margin to the answer."""
    if "rouge" in row:
        return False, float(row["rouge"]["rouge1"])
    scores = row.get("scores_normalized") or row.get("scores") or {}
    margin = scores[row["gold"]] - scores[row["answer"]] if scores else 0.0
    return row["answer"] == row["gold"], margin


def _indented(values: Mapping[str, Any], depth: int = 1) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{'  ' * depth}{name}"
            yield from _indented(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {value}"


def _prediction(row: Mapping[str, Any]) -> Iterator[str]:
    tokens = f"  ({row['tokens_in']} tokens)" if "tokens_in" in row else ""
    yield f"\n{row['id']}{tokens}"
    yield "  " + row["prompt"].replace("\n", "\n  ")
    yield f"  answer: {row.get('text', row['answer'])}"
    yield f"  gold:   {row['gold']}"
    if "rouge" in row:
        yield "  " + ", ".join(f"{name} {value:.3f}" for name, value in row["rouge"].items())
    for name in ("scores", "scores_normalized"):
        best = sorted(row.get(name, {}).items(), key=lambda item: -item[1])
        if best:
            label = name.replace("_", ", ")
            yield f"  {label}: " + ", ".join(f"{label} {score:.3f}" for label, score in best)
