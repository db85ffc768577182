"""Test rows to read: chosen so that every run's worst errors are in, the same for all runs.

Since all runs of a data set show the same rows, any two of them can be compared on each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from tunebench.report import predictions
from tunebench.report.page.runs import PageRun
from tunebench.report.predictions import (
    LONGEST_ANSWER,
    LONGEST_TEXT,
    RIGHT,
    Predictions,
    cut,
    texts,
)

BUDGET_BYTES = 2_400_000  # of the whole page
STATIC_ROWS = 8


def choose(answered: Sequence[Predictions], count: int) -> list[int]:
    """Indices of at most so many rows: each run in turn gives its next worst error.

    Args:
        answered: the runs of one data set, the best first.
    """
    errors = [[index for index in each.worst if each.kinds[index] != RIGHT] for each in answered]
    turns = (index for turn in zip_longest(*errors) for index in turn if index is not None)
    every = range(answered[0].rows) if answered else ()
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
    held = [answered[run.id] for run in scored]
    indices = choose(held, count)
    kinds = sorted({kind for each in held for kind in each.kinds})
    labels = sorted({label for each in held for label in each.answers if label is not None})
    built = {
        "kinds": kinds,
        "labels": labels,
        "total": held[0].rows,
        "rows": _rows(held, indices),
        "answers": {
            str(each.id): _answers(answers, indices, kinds, labels)
            for each, answers in zip(scored, held, strict=True)
        },
    }
    return _within(built, budget)


def _rows(held: Sequence[Predictions], indices: Sequence[int]) -> list[dict[str, str]]:
    """Each row's id, text and right answer, from the run with the least around the text."""
    first = [texts(each.run, indices[:1])[0]["prompt"] for each in held]
    shortest = min(range(len(held)), key=lambda place: len(first[place]))
    return [
        {"id": str(row["id"]), "text": cut(row["text_of_row"].strip(), LONGEST_TEXT),
         "gold": cut(row["gold"], LONGEST_ANSWER)}
        for row in texts(held[shortest].run, indices)
    ]  # fmt: skip


def _answers(
    answers: Predictions, indices: Sequence[int], kinds: Sequence[str], labels: Sequence[str]
) -> list[list[Any]]:
    """Answer (the place of a label, else a text), kind, and confidence or score in per cent."""
    measured = answers.confidences or (None if answers.labelled else answers.scores)
    place = {label: index for index, label in enumerate(labels)}
    if answers.labelled:
        written: list[Any] = [
            place[label] if (label := answers.answers[index]) is not None
            else cut(answers.unread[index], LONGEST_ANSWER)
            for index in indices
        ]  # fmt: skip
    else:
        written = [cut(row["answer"] or "", LONGEST_ANSWER) for row in texts(answers.run, indices)]
    return [
        [text, kinds.index(answers.kinds[index]),
         None if measured is None else round(100 * measured[index])]
        for text, index in zip(written, indices, strict=True)
    ]  # fmt: skip


def written(built: Mapping[str, Any], answer: int | str) -> str:
    """An answer as it was given."""
    return str(built["labels"][answer]) if isinstance(answer, int) else answer


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
