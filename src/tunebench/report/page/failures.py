"""Where runs fail: kinds of error, confusion, scores by label, reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunebench import paths, results
from tunebench.metrics import statistics
from tunebench.report import digits, predictions
from tunebench.report.confusion import NO_LABEL
from tunebench.report.page.figures import ChartRow, Figure
from tunebench.report.page.runs import PageRun
from tunebench.report.predictions import Predictions

SHOWN = 12  # labels of the matrix: those that are confused most
SHOWN_RUNS = 30  # of the chart of errors: the best
BINS = 10
# Vega has values as keys of plain JavaScript objects, where this one is no key; a word joiner has
# no width
DRAWN = {"__proto__": "\u2060__proto__"}
KINDS = {
    predictions.RIGHT: "#c9ccd1",
    predictions.BANDS[3]: "#c9ccd1",
    predictions.BANDS[2]: "#9fb8c9",
    predictions.BANDS[1]: "#5d94b5",
    predictions.BANDS[0]: "#0072b2",
    predictions.WRONG: "#d55e00",
    predictions.NO_LABEL: "#a07d00",
    predictions.CUT: "#b3589a",
    predictions.EMPTY: "#555555",
}
Answered = Mapping[int, Predictions]  # by the page's id of a run


def kinds(runs: Sequence[PageRun], answered: Answered) -> Figure | None:
    """The share of each kind of answer, a bar for each run of one data set."""
    shown = sorted((run for run in runs if run.score and run.id in answered), key=_score)
    if not shown:
        return None
    rows = [
        row
        for place, run in enumerate(shown[:SHOWN_RUNS])
        for row in _shares(run, place, answered[run.id])
    ]
    present = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    values = {"kinds": present, "kind_colours": [KINDS[kind] for kind in present],
              "x_title": "test rows, %"}  # fmt: skip
    best = "" if len(shown) <= SHOWN_RUNS else f" The {SHOWN_RUNS} best of {len(shown)} runs."
    note = f"From left to right in the order of the legend.{best}"
    return Figure("errors", shown[0].dataset, _title(shown[0], answered), rows, values, note=note)


def _score(run: PageRun) -> float:
    assert run.score
    return -run.score.value


def _shares(run: PageRun, place: int, answers: Predictions) -> Iterator[ChartRow]:
    counts = Counter(answers.kinds)
    for rank, kind in enumerate(KINDS):
        if counts[kind]:
            yield {"run": run.id, "label": run.label, "place": place, "kind": kind,
                   "kind_rank": rank, "rows": counts[kind],
                   "share": round(100 * counts[kind] / len(answers.kinds), 2)}  # fmt: skip


def _title(best: PageRun, answered: Answered) -> str:
    """How often the best run errs, and what it errs in most."""
    answers = answered[best.id]
    rows = len(answers.kinds)
    if not answers.labelled:
        low = sum(score < 0.25 for score in answers.scores)
        return f"{best.label}: {low:,} of {rows:,} summaries share less than a quarter"
    pairs = Counter(
        (gold, answer)
        for gold, answer in zip(answers.gold, answers.answers, strict=True)
        if gold != answer
    )
    if not pairs:
        return f"{best.label} errs on none of {rows:,} test rows"
    (gold, answer), count = min(pairs.items(), key=lambda pair: (-pair[1], str(pair[0])))
    wrong = sum(pairs.values())
    read_as = "no label" if answer is None else predictions.cut(answer, 40)
    return (
        f"{best.label} errs on {wrong:,} of {rows:,} test rows, most often on"
        f" {predictions.cut(gold, 40)}, read as {read_as} ({count:,})"
    )


def details(run: PageRun, answers: Predictions) -> dict[str, Any]:
    """What is shown of one run at a time."""
    reliable = reliability(answers)
    return {
        "confusion": confusion(answers),
        "labels": by_label(run),
        "reliability": reliable,
        "reliable": reliability_title(run.label, answers) if reliable else "",
    }


def confusion(answers: Predictions) -> dict[str, Any] | None:
    """A run's confusion matrix among the labels that are confused most; None without labels."""
    if not answers.labelled:
        return None
    labels = {*answers.gold, *(answer for answer in answers.answers if answer is not None)}
    unanswered = NO_LABEL
    while unanswered in labels:  # a data set may have a label of that name
        unanswered = f"({unanswered})"
    counted = Counter(zip(answers.gold, answers.answers, strict=True))
    pairs = Counter(
        {
            (gold, unanswered if answer is None else answer): count
            for (gold, answer), count in counted.items()
        }
    )
    wrong: Counter[str] = Counter()
    for (gold, answer), count in pairs.items():
        if gold != answer:
            wrong[gold] += count
            wrong[answer] += count
    order = sorted(labels, key=lambda label: (-wrong[label], label))[:SHOWN]
    shown = sorted(order)
    columns = shown + ([unanswered] if wrong[unanswered] else [])
    total = Counter(answers.gold)
    return {
        "labels": [DRAWN.get(label, label) for label in shown],
        "answers": [DRAWN.get(label, label) for label in columns],
        "left_out": len(labels) - len(shown),
        "totals": [total[label] for label in shown],
        "cells": [
            [shown.index(gold), column, pairs[gold, answer]]
            for gold in shown
            for column, answer in enumerate(columns)
            if pairs[gold, answer]
        ],
    }


def cells(matrix: Mapping[str, Any]) -> list[ChartRow]:
    """The rows of the chart; `scripts/run.js` makes the same, since they are long."""
    return [
        {"gold": matrix["labels"][row], "answer": matrix["answers"][column], "rows": count,
         "right": matrix["labels"][row] == matrix["answers"][column],
         "share": count / matrix["totals"][row]}
        for row, column, count in matrix["cells"]
    ]  # fmt: skip


def by_label(run: PageRun) -> list[list[Any]]:
    """Label, F1, precision and recall in per cent, and rows, of a run's first seed."""
    scores = results.read(paths.evaluation(run.run)).get("per_class", {})
    return [
        [label, *(_percent(own.get(name)) for name in ("f1", "precision", "recall")),
         int(own["rows"])]
        for label, own in scores.items()
    ]  # fmt: skip


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def reliability(answers: Predictions) -> list[ChartRow]:
    """How often answers of a confidence are right, in bins of equal width; empty if not scored."""
    import numpy as np

    if answers.confidences is None:
        return []
    sure, right = np.array(answers.confidences), np.array(answers.scores)
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    counts, hits, sums = (
        np.bincount(places, weights, minlength=BINS) for weights in (None, right, sure)
    )
    return [_bin(int(count), int(hit), total / count)
            for count, hit, total in zip(counts, hits, sums, strict=True) if count]  # fmt: skip


def _bin(count: int, hits: int, confidence: float) -> ChartRow:
    low, high = (100 * end for end in statistics.of_proportion(hits, count))
    right = 100 * hits / count
    return {"confidence": round(100 * confidence, 1), "right": round(right, 1),
            "low": round(low, 1), "high": round(high, 1), "rows": count,
            "text": digits.with_interval(right, low, high)}  # fmt: skip


def reliability_title(label: str, answers: Predictions) -> str:
    """Whether the run is as often right as it is sure."""
    assert answers.confidences is not None
    rows = len(answers.kinds)
    right = 100 * sum(kind == predictions.RIGHT for kind in answers.kinds) / rows
    sure = 100 * sum(answers.confidences) / rows
    gap = sure - right
    verdict = "about as sure as it is right" if abs(gap) < 3 else (
        f"too sure by {gap:.0f} points" if gap > 0 else f"less sure than right by {-gap:.0f} points"
    )  # fmt: skip
    return f"{label}: {verdict} (mean confidence {sure:.0f}%, right {right:.0f}%)"
