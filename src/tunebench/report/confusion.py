"""Confusion matrices: gold labels by answers, for the runs that are timed too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tunebench.config.schema import Params
from tunebench.paths import BASELINE, Run
from tunebench.report import predictions
from tunebench.report.summary import OPTIMISTIC
from tunebench.report.tables import Row

NO_LABEL = "(no label)"  # the column of answers that name no label


def build(params: Params) -> list[Row]:
    """Data of the DVC plot: test rows by gold label and answer, a panel for each method.

    Tuned methods are those of `inference.train_size` and the first seed; prompting methods have the
    first draw of their solved examples.
    """
    return [{"panel": _panel(run, params), **row} for run in _runs(params) for row in _counts(run)]


def _panel(run: Run, params: Params) -> str:
    optimistic = params.evaluation.select == "best_test" and run.size_and_seed
    return f"{run.model}, {run.dataset}: {run.method}{f' ({OPTIMISTIC})' if optimistic else ''}"


def _runs(params: Params) -> Iterator[Run]:
    grid = params.grid
    for model in grid.models:
        for dataset in grid.datasets:
            if params.dataset(dataset).labelled:
                for method in grid.prompting:
                    yield Run(model, dataset, method)
                for method in grid.tuning:
                    yield Run(model, dataset, method, params.inference.train_size, grid.seeds[0])
    for dataset in grid.datasets:
        if params.dataset(dataset).labelled:
            for method in params.baselines_for(dataset):
                yield Run(BASELINE, dataset, method, params.inference.train_size, grid.seeds[0])


def _counts(run: Run) -> Iterator[Row]:
    answered = predictions.read(run)
    rows = list(zip(answered.gold, answered.answers, strict=True)) if answered else []
    labels = {label for pair in rows for label in pair}
    unanswered = NO_LABEL
    while unanswered in labels:  # a data set may have a label of that name
        unanswered = f"({unanswered})"
    counts = Counter((gold, unanswered if answer is None else answer) for gold, answer in rows)
    for (gold, answer), count in sorted(counts.items()):
        yield {
            "gold": gold,
            "answer": answer,
            "rows": count,
        }
