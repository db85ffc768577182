"""Test rows to read: chosen so that every run's worst errors are in, the same for all runs.

Since all runs of a data set show the same rows, any two of them can be compared on each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from tunebench.report.page import predictions
from tunebench.report.page.predictions import (
    LONGEST_ANSWER,
    LONGEST_TEXT,
    RIGHT,
    Predictions,
    cut,
    texts,
)
from tunebench.report.page.runs import PageRun

BUDGET_BYTES = 2_400_000  # of the whole page
STATIC_ROWS = 8


def choose(answered: Sequence[Predictions], count: int) -> list[int]:
    """Indices of at most so many rows: each run in turn gives its next worst error.

    Args:
        answered: the runs of one data set, the best first.
    """
    errors = [[index for index in each.worst if each.kinds[index] != RIGHT] for each in answered]
    turns = (index for turn in zip_longest(*errors) for index in turn if index is not None)
    every = range(len(answered[0].ids)) if answered else ()
    return list(dict.fromkeys([*turns, *every]))[:count]


def build(
    runs: Sequence[PageRun], answered: Mapping[int, Predictions], count: int, budget: int
) -> dict[str, Any] | None:
    """The rows of one data set and what each run answered; None if there are none to show.

    Args:
        count: the most rows, `report.rows` of params.yaml; 0 for none.
        budget: the most bytes of JSON; there are fewer rows if they would need more.
    """
    scored = [run for run in runs if run.score and run.id in answered]
    if not count or not scored:
        return None
    scored.sort(key=lambda run: -(run.score.value if run.score else 0))
    indices = choose([answered[run.id] for run in scored], count)
    read = {run.id: texts(run.run, indices) for run in scored}
    shortest = min(read.values(), key=lambda rows: sum(len(row["prompt"]) for row in rows))
    kinds = sorted({kind for run in scored for kind in answered[run.id].kinds})
    labels = _labels([answered[run.id] for run in scored])
    built = {
        "kinds": kinds,
        "total": len(answered[scored[0].id].ids),
        "labels": labels,
        "rows": [
            {"id": str(row["id"]), "text": cut(row["text_of_row"].strip(), LONGEST_TEXT),
             "gold": cut(row["gold"], LONGEST_ANSWER)}
            for row in shortest
        ],
        "answers": {
            str(run.id): [
                _answer(row, index, answered[run.id], kinds, labels)
                for row, index in zip(read[run.id], indices, strict=True)
            ]
            for run in scored
        },
    }  # fmt: skip
    return _within(built, budget)


def _labels(answered: Sequence[Predictions]) -> list[str]:
    """All answers, where they are labels: rows name them by their place here."""
    return sorted({answer for each in answered for answer in each.answers if answer is not None})


def _answer(
    row: Mapping[str, Any], index: int, answers: Predictions, kinds: Sequence[str],
    labels: Sequence[str],
) -> list[Any]:  # fmt: skip
    """Answer (the place of a label, else a text), kind, and confidence or score in per cent."""
    text = row["answer"] if row["answer"] is not None else row.get("text", "")
    measured = answers.confidences or (None if answers.labelled else answers.scores)
    share = None if measured is None else round(100 * measured[index])
    named = answers.labelled and row["answer"] is not None
    answer = labels.index(row["answer"]) if named else cut(text or "", LONGEST_ANSWER)
    return [answer, kinds.index(answers.kinds[index]), share]


def written(built: Mapping[str, Any], answer: int | str) -> str:
    """An answer as it was given."""
    return built["labels"][answer] if isinstance(answer, int) else answer


def _within(built: dict[str, Any], budget: int) -> dict[str, Any]:
    """The first rows, as many as the bytes allow."""
    size = len(json.dumps(built, ensure_ascii=False).encode("utf-8", "replace"))
    keep = min(len(built["rows"]), max(1, int(len(built["rows"]) * budget / size)))
    return built | {
        "rows": built["rows"][:keep],
        "answers": {run: answers[:keep] for run, answers in built["answers"].items()},
    }


def static(built: Mapping[str, Any], run: int) -> list[dict[str, Any]]:
    """A run's worst rows, for readers without JavaScript."""
    answers = built["answers"].get(str(run), [])
    rows = [
        row | {"answer": written(built, answer), "kind": built["kinds"][kind], "share": share}
        for row, (answer, kind, share) in zip(built["rows"], answers, strict=False)
    ]
    wrong = [row for row in rows if row["kind"] != predictions.RIGHT]
    return wrong[:STATIC_ROWS]
