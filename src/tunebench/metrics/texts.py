"""Written texts: ROUGE."""

from __future__ import annotations

from collections.abc import Sequence

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge(gold: Sequence[str], answers: Sequence[str]) -> dict[str, list[float]]:
    """F1 of ROUGE-1, -2, -L and -Lsum of each row (rouge-score, without stemming), in [0, 1]."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), use_stemmer=False)
    scores = [scorer.score(right, text) for right, text in zip(gold, answers, strict=True)]
    return {name: [float(score[name].fmeasure) for score in scores] for name in ROUGE}
