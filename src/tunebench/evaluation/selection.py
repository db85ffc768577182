"""Checkpoint selection: which epoch is tested, the last or the best on validation or test rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tunebench import metrics, paths
from tunebench.errors import EvaluationError
from tunebench.evaluation import Answering, Outcome
from tunebench.models import outcomes
from tunebench.prompts import DoesNotFit, Prompt

Answer = Callable[[Sequence[Prompt] | DoesNotFit, Path | None], Outcome]


def evaluate(
    answer: Answer,
    answering: Answering,
    trained: Path,
    *,
    test: Sequence[Prompt] | DoesNotFit,
    validation: Sequence[Prompt],
) -> Outcome:
    """Judge the answers of the epoch that `evaluation.select` names.

    Args:
        answer: `evaluation.evaluate` for the given prompts and folder of a tuned model.
        trained: the folder that `training.train` wrote.

    Returns:
        The outcome on the test rows, whose `trained` is the folder that answered. If an epoch was
        chosen, its metrics name it and hold each epoch's headline metric.

    Raises:
        EvaluationError: if an epoch is to be chosen and training saved none.
    """
    select = answering.settings.select
    if select == "last" or outcomes.failure(trained):
        return answer(test, trained)
    saved = _saved(trained)
    rows = test if select == "best_test" else validation
    tried = {epoch: answer(rows, folder) for epoch, folder in saved.items()}
    headline = metrics.HEADLINE[answering.task]
    scores = {epoch: outcome.metrics[headline] for epoch, outcome in tried.items()}
    best = max(scores, key=lambda epoch: (scores[epoch], -epoch))  # ties: the earliest
    outcome = tried[best] if select == "best_test" else answer(test, saved[best])
    further = {
        "epoch": best,
        "epoch_chosen_on": "test" if select == "best_test" else "validation",
        # the best of several scores on the test rows overestimates the score on new rows
        "optimistic": select == "best_test",
        "epochs": {str(epoch): {headline: score} for epoch, score in scores.items()},
    }
    return replace(outcome, metrics=outcome.metrics | further)


def _saved(trained: Path) -> dict[int, Path]:
    folders = {int(folder.name): folder for folder in paths.epochs(trained).glob("[0-9]*")}
    if not folders:
        raise EvaluationError(
            f"{trained}: holds no epoch to choose from; train with save_strategy: epoch"
        )
    return dict(sorted(folders.items()))
