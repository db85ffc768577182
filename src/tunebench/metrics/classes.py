"""Classification: accuracy, F1 and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from tunebench.metrics import macro_f1, statistics
from tunebench.metrics.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CALIBRATED_DRAWS = 300


def classification(
    gold: Sequence[str], answers: Sequence[str | None], *, labels: Sequence[str]
) -> dict[str, float]:
    """Accuracy and macro-averaged F1 (scikit-learn), fractions in [0, 1].

    Macro-F1 averages over the labels that occur in `gold` or `answers`; F1 is undefined for others
    (`zero_division=nan`). An answer that is None lowers its gold label's recall, and is no label of
    its own. Macro-F1 is omitted if the test rows have one label only.
    """
    from sklearn.metrics import accuracy_score, f1_score

    gold_ids, answer_ids, label_ids = _as_ids(gold, answers, labels)
    scores = {"accuracy": float(accuracy_score(gold_ids, answer_ids))}
    if len(set(gold)) > 1:
        scores["macro_f1"] = float(
            f1_score(
                gold_ids,
                answer_ids,
                labels=label_ids,
                average="macro",
                zero_division=float("nan"),
            )
        )
    return scores


def classification_intervals(
    gold: Sequence[str], answers: Sequence[str | None]
) -> dict[str, Interval]:
    """The 95% intervals of the metrics that `classification` returns.

    Raises:
        ValueError: if there are no rows, or not one answer for each gold label.
    """
    hits = sum(right == answered for right, answered in zip(gold, answers, strict=True))
    return {
        "accuracy": statistics.of_proportion(hits, len(gold)),
        "macro_f1": macro_f1.interval(gold, answers),
    }


def narrow_interval(gold: Sequence[str], labels: Sequence[str]) -> str:
    """A note if the interval of macro-F1 covers less than 95%; empty if it does not.

    Simulated with 2 to 50 labels, it covers at least 93% from `macro_f1.ROWS_PER_LABEL` test rows a
    label on (benchmarks/coverage.py).
    """
    if len(gold) >= macro_f1.ROWS_PER_LABEL * len(labels):
        return ""
    needed = macro_f1.ROWS_PER_LABEL * len(labels)
    return f"too narrow: {len(labels)} labels need {needed:,} test rows"


def per_class(
    gold: Sequence[str], answers: Sequence[str | None], *, labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Label → its `rows`, and precision, recall and F1 (scikit-learn) if they are defined.

    Precision is undefined if no answer is that label, recall if no row has it. A label with neither
    is omitted, so that macro-F1 is the mean of these F1 scores.
    """
    from sklearn.metrics import precision_recall_fscore_support

    gold_ids, answer_ids, label_ids = _as_ids(gold, answers, labels)
    columns = precision_recall_fscore_support(
        gold_ids, answer_ids, labels=label_ids, zero_division=float("nan")
    )
    names = ("precision", "recall", "f1", "rows")
    scores = {
        label: {name: float(value) for name, value in zip(names, values, strict=True)
                if value == value}
        for label, values in zip(labels, zip(*columns, strict=True), strict=True)
    }  # fmt: skip
    return {label: scores[label] for label in sorted(scores) if "f1" in scores[label]}


def _as_ids(
    gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> tuple[list[int], list[int], list[int]]:
    """Gold labels, answers and labels as integers; a missing answer is -1.

    Raises:
        KeyError: for a gold label or an answer that is not in `labels`.
    """
    ids = {label: index for index, label in enumerate(labels)}
    answer_ids = [-1 if answer is None else ids[answer] for answer in answers]
    return [ids[label] for label in gold], answer_ids, list(ids.values())


def calibration(
    scores: Sequence[Mapping[str, float]], gold: Sequence[str], *, bins: int = 15
) -> dict[str, float]:
    """Expected calibration error and Brier score of the labels' probabilities.

    Args:
        scores: each row's label → log-likelihood (nats); the probabilities are their softmax over
            the labels.
        bins: of equal width, as in Guo et al. 2017 (arXiv 1706.04599).

    Returns:
        `ece` in [0, 1]; `ece_if_calibrated`, what it would be on average if these probabilities
        were right, since few rows alone make it positive (.17 at 25 rows); and `brier` in [0, 2]:
        the squared error summed over the labels.
    """
    import numpy as np

    labels = list(scores[0])
    values = np.array([[row[label] for label in labels] for row in scores])
    values = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities = values / values.sum(axis=1, keepdims=True)
    truth = np.array([[label == right for label in labels] for right in gold], dtype=float)
    predicted = probabilities.argmax(axis=1)
    confidence, right = probabilities.max(axis=1), truth[np.arange(len(gold)), predicted]
    bin_indices = np.minimum((confidence * bins).astype(int), bins - 1)
    random = np.random.default_rng(statistics.SEED)
    calibrated = (random.random(len(gold)) < confidence for _ in range(CALIBRATED_DRAWS))
    return {
        "ece": _calibration_error(confidence, right, bin_indices),
        "ece_if_calibrated": fmean(
            _calibration_error(confidence, drawn, bin_indices) for drawn in calibrated
        ),
        "brier": float(((probabilities - truth) ** 2).sum(axis=1).mean()),
    }


def _calibration_error(
    confidence: NDArray[np.float64],
    right: NDArray[np.float64] | NDArray[np.bool_],
    bin_indices: NDArray[np.intp],
) -> float:
    import numpy as np

    return float(np.abs(np.bincount(bin_indices, confidence - right)).sum() / len(confidence))
