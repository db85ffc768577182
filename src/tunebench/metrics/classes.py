"""Labels: accuracy, F1, and how far their probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def classification(
    gold: Sequence[str], answers: Sequence[str | None], *, labels: Sequence[str]
) -> dict[str, float]:
    """Accuracy and macro-averaged F1 (scikit-learn), fractions in [0, 1].

    Macro-F1 averages over the task's labels that a row has or an answer is; F1 is not defined for
    others (`zero_division=nan`). A row without an answer, None, costs its label recall and is no
    label of its own. Where the test rows have one label only, macro-F1 would say nothing of the
    others, and is left out.
    """
    from sklearn.metrics import accuracy_score, f1_score

    right, given, numbers = _numbered(gold, answers, labels)
    found = {"accuracy": float(accuracy_score(right, given))}
    if len(set(gold)) > 1:
        found["macro_f1"] = float(
            f1_score(right, given, labels=numbers, average="macro", zero_division=float("nan"))
        )
    return found


def per_class(
    gold: Sequence[str], answers: Sequence[str | None], *, labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Label → its `rows`, and precision, recall and F1 (scikit-learn) where they are defined.

    Precision is not where no answer is that label, recall is not where no row has it. A label with
    neither is left out, so that macro-F1 is the mean of what stands here.
    """
    from sklearn.metrics import precision_recall_fscore_support

    right, given, numbers = _numbered(gold, answers, labels)
    columns = precision_recall_fscore_support(
        right, given, labels=numbers, zero_division=float("nan")
    )
    names = ("precision", "recall", "f1", "rows")
    found = {
        label: {name: float(value) for name, value in zip(names, values, strict=True)
                if value == value}
        for label, values in zip(labels, zip(*columns, strict=True), strict=True)
    }  # fmt: skip
    return {label: found[label] for label in sorted(found) if "f1" in found[label]}


def _numbered(
    gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> tuple[list[int], list[int], list[int]]:
    """Gold labels, answers and labels as numbers: no answer is -1, which no label can be.

    Raises:
        KeyError: for a gold label or an answer that is none of the task's labels.
    """
    number = {label: index for index, label in enumerate(labels)}
    given = [-1 if answer is None else number[answer] for answer in answers]
    return [number[label] for label in gold], given, list(number.values())


def calibration(
    scores: Sequence[Mapping[str, float]], gold: Sequence[str], *, bins: int = 15
) -> dict[str, float]:
    """Expected calibration error and Brier score of the labels' probabilities.

    Args:
        scores: each row's label → log-likelihood (nats); their softmax over the labels is what the
            model holds each of them for.
        bins: of equal width, as in Guo et al. 2017 (arXiv 1706.04599).

    Returns:
        `ece` in [0, 1], and `brier` in [0, 2]: the squared error summed over the labels.
    """
    import numpy as np

    labels = list(scores[0])
    values = np.array([[row[label] for label in labels] for row in scores])
    values = np.exp(values - values.max(axis=1, keepdims=True))
    held = values / values.sum(axis=1, keepdims=True)
    truth = np.array([[label == right for label in labels] for right in gold], dtype=float)
    surest = held.argmax(axis=1)
    confidence, right = held.max(axis=1), truth[np.arange(len(gold)), surest]
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(place, confidence - right, minlength=bins))
    return {
        "ece": float(gaps.sum() / len(gold)),
        "brier": float(((held - truth) ** 2).sum(axis=1).mean()),
    }
