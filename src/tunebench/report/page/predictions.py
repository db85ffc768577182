"""What one run answered to its test rows, in the columns that the page needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench import paths, results
from tunebench.paths import Run
from tunebench.report.inspection import merit

RIGHT, WRONG = "right", "wrong label"
NO_LABEL, EMPTY, CUT = "not a label", "no answer", "cut off at the token limit"
# of whole summaries, by their headline metric
BANDS = ("ROUGE-1 below 25", "ROUGE-1 25 to 50", "ROUGE-1 50 to 75", "ROUGE-1 from 75")
LONGEST_TEXT = 1200  # characters of a text on the page
LONGEST_ANSWER = 500


@dataclass(frozen=True)
class Predictions:
    """A run's answers, row by row; of several draws of solved examples the first.

    `merits` orders rows, the worst first; `confidences` are probabilities of the answers where
    labels were scored, else None; `scores` the headline metric of each row.
    """

    run: Run
    ids: list[str]
    gold: list[str]
    answers: list[str | None]
    kinds: list[str]
    merits: list[tuple[bool, float]]
    confidences: list[float] | None
    scores: list[float]

    @property
    def labelled(self) -> bool:
        """Whether the answers are labels."""
        return not set(self.kinds) & set(BANDS)

    @property
    def worst(self) -> list[int]:
        """The rows' indices, the worst first."""
        return sorted(range(len(self.ids)), key=self.merits.__getitem__)


def read(run: Run) -> Predictions | None:
    """The answers of a run; None if it has none, as a failed one.

    Raises:
        SourceError: if the file is missing or damaged.
    """
    rows = [row for row in results.read_lines(paths.predictions(run)) if not row.get("draw")]
    if not rows:
        return None
    scored = [_deciding(row) for row in rows]
    summaries = "rouge" in rows[0]
    return Predictions(
        run,
        [str(row["id"]) for row in rows],
        # each text once in memory: runs share their labels, and summaries are read again
        [] if summaries else [row["gold"] for row in rows],
        [] if summaries else [row["answer"] for row in rows],
        [_kind(row) for row in rows],
        [merit(row) for row in rows],
        [_confidence(row, scores) for row, scores in zip(rows, scored, strict=True)]
        if all(scored)
        else None,
        [row["rouge"]["rouge1"] if summaries else float(row["answer"] == row["gold"])
         for row in rows],
    )  # fmt: skip


def texts(run: Run, indices: Sequence[int]) -> list[dict[str, Any]]:
    """The rows at these indices, with `text_of_row`: the prompt without what all of them share.

    Draws follow one another in the file, so that the first rows are those of the first draw.
    """
    wanted = set(indices)
    with paths.predictions(run).open(encoding="utf-8") as file:
        rows = {index: json.loads(line) for index, line in enumerate(file) if index in wanted}
    prompts = [row["prompt"] for row in rows.values()]
    start, end = _frame(prompts)
    return [
        rows[index] | {"text_of_row": rows[index]["prompt"][start : end or None]}
        for index in indices
    ]


def _frame(prompts: Sequence[str]) -> tuple[int, int]:
    """How much all prompts begin and end with, to the nearest line: instruction and headings."""
    if len(prompts) < 2:
        return 0, 0
    before = _shared(prompts)
    after = _shared([prompt[::-1] for prompt in prompts])[::-1]
    start = before.rfind("\n") + 1
    tail = len(after) - after.find("\n") if "\n" in after else 0
    shortest = min(map(len, prompts))
    return (start, -tail) if start + tail < shortest else (0, 0)


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last in order do."""
    first, last = min(texts), max(texts)
    same = (index for index, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1)
    return first[: next(same, len(first))]


def cut(text: str, length: int) -> str:
    """A text of at most that many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _deciding(row: Mapping[str, Any]) -> Mapping[str, float]:
    return row.get("scores_normalized") or row.get("scores") or {}


def _confidence(row: Mapping[str, Any], scores: Mapping[str, float]) -> float:
    """The probability of the answer: a softmax over the labels, as `metrics.calibration` has it."""
    top = scores[row["answer"]]
    return 1 / sum(math.exp(min(score - top, 0.0)) for score in scores.values())


def _kind(row: Mapping[str, Any]) -> str:
    text = row.get("text", row["answer"])
    if "rouge" not in row and row["answer"] == row["gold"]:
        return RIGHT
    if not (text or "").strip():
        return EMPTY
    if row.get("ended") is False:
        return CUT
    if "rouge" in row:
        return BANDS[min(3, int(4 * row["rouge"]["rouge1"]))]
    return NO_LABEL if row["answer"] is None else WRONG
