"""Answers to rows as lines of a CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunebench import evaluation, results
from tunebench.data.tables import TextRow


@dataclass(frozen=True)
class Written:
    """Answers as lines of the output."""

    answering: evaluation.Answering
    suffix: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a CSV."""
        if not self.answering.labels:
            return ("id", "text")
        return ("id", "answer", "probability" if self.answering.scored else "text")

    def chunk(self, rows: Iterator[tuple[TextRow, dict[str, Any] | None]], *, first: bool) -> bytes:
        """A chunk's lines; the first one's of a CSV after the header."""
        cells = [self._cells(row["id"], answer) for row, answer in rows]
        if self.suffix == ".jsonl":
            lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in cells]
            return "".join(lines).encode()
        file = io.StringIO()
        writer = csv.DictWriter(
            file, self.columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        if first:
            writer.writeheader()
        writer.writerows(cells)
        return file.getvalue().encode()

    def _cells(self, row_id: str, answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is None:
            return dict.fromkeys(self.columns) | {"id": row_id}
        if not self.answering.labels:
            return {"id": row_id, "text": answer["answer"]}
        row = {"id": row_id, "answer": answer["answer"]}
        if not self.answering.scored:
            return row | {"text": answer["text"]}
        scores = {key: answer[key] for key in ("scores", "scores_normalized") if key in answer}
        return row | {"probability": probability(answer)} | scores


def probability(answer: dict[str, Any]) -> float:
    """That of the answer among the labels: their softmax, as `metrics.calibration` takes it."""
    scores = evaluation.deciding_scores(answer)
    best = scores[answer["answer"]]
    return results.rounded(1 / sum(math.exp(score - best) for score in scores.values()))
