"""What predictions are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")

QUALITY = ("accuracy", "macro_f1", *ROUGE)

# the metric that a task is judged by first, in tables and curves
HEADLINE = {"classification": "accuracy", "summarization": "rouge1"}


def interval(metric: str) -> tuple[str, str]:
    """The names of the ends of a metric's 95% interval."""
    return f"{metric}_low", f"{metric}_high"


def classification(gold: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """Accuracy and macro-averaged F1 (scikit-learn), fractions in [0, 1].

    Macro-F1 averages over the labels that stand in the gold ones or the answers; where the test
    rows have one label only it would say nothing of the others, and is left out.
    """
    from sklearn.metrics import accuracy_score, f1_score

    found = {"accuracy": float(accuracy_score(gold, answers))}
    if len(set(gold)) > 1:
        found["macro_f1"] = float(f1_score(gold, answers, average="macro", zero_division=0))
    return found


def per_class(gold: Sequence[str], answers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Label → its `rows`, and precision, recall and F1 (scikit-learn) where they are defined.

    Precision is not where no answer is that label, recall is not where no row has it.
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels = sorted(set(gold))
    columns = precision_recall_fscore_support(
        gold, answers, labels=labels, zero_division=float("nan")
    )
    names = ("precision", "recall", "f1", "rows")
    return {
        label: {name: float(value) for name, value in zip(names, values, strict=True)
                if value == value}
        for label, values in zip(labels, zip(*columns, strict=True), strict=True)
    }  # fmt: skip


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


def match(text: str, labels: Sequence[str]) -> tuple[str | None, bool]:
    """The label that a written text is, and whether it is so to the letter.

    The text's first line counts. Case, white space and punctuation make no difference, unless they
    are all that tells two labels apart.
    """
    line = text.strip().split("\n", 1)[0].strip()
    if line in labels:
        return line, True
    found = [label for label in labels if _normal(label) == _normal(line)]
    return (found[0], False) if len(found) == 1 and _normal(line) else (None, False)


def _normal(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def rouge(gold: Sequence[str], answers: Sequence[str]) -> dict[str, list[float]]:
    """F1 of ROUGE-1, -2, -L and -Lsum of each row (rouge-score, without stemming), in [0, 1]."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), use_stemmer=False)
    scores = [scorer.score(right, text) for right, text in zip(gold, answers, strict=True)]
    return {name: [float(score[name].fmeasure) for score in scores] for name in ROUGE}


def summarization(gold: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """The mean of each `rouge` over the rows."""
    return means(rouge(gold, answers))


def means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Metric → its mean over the rows."""
    return {name: sum(row) / len(row) for name, row in values.items()}
