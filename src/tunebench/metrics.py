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
    """Accuracy and macro-averaged F1 (scikit-learn), fractions in [0, 1]."""
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(gold, answers)),
        "macro_f1": float(f1_score(gold, answers, average="macro", zero_division=0)),
    }


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
