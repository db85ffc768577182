"""The first sentences of a text as its summary: `lead-3` is hard to beat on news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from tunebench import metrics, results
from tunebench.baselines.examples import Answer, Examples
from tunebench.config.baselines import LeadMethod
from tunebench.metrics import words

FILE = "model.json"
HEADLINE = metrics.HEADLINE["summarization"]
ROWS = 200  # on which the number of sentences is chosen: a millisecond each for every number


@dataclass(frozen=True)
class Lead:
    """How many sentences are taken, and the ROUGE-1 that each number had."""

    sentences: int
    scores: dict[str, float]

    @property
    def parameters(self) -> int:
        """The number of sentences."""
        return 1

    @property
    def chosen(self) -> dict[str, Any]:
        """The number of sentences, with the score of each that was tried."""
        return {"sentences": self.sentences, "rouge1_by_sentences": self.scores}

    @classmethod
    def fit(cls, settings: LeadMethod, training: Examples, validation: Examples) -> Self:
        """Choose the number with the highest ROUGE-1, the smallest of several."""
        rows = validation if validation.texts else training
        tried = sorted(set(settings.sentences))
        if len(tried) == 1:
            return cls(tried[0], {})
        scores = {number: _score(rows, number) for number in tried}
        best = max(tried, key=scores.__getitem__)
        return cls(best, {str(number): results.rounded(scores[number]) for number in tried})

    def answer(self, texts: Sequence[str], labels: Sequence[str]) -> list[Answer]:
        """The beginning of each text."""
        del labels
        return [{"answer": lead(text, self.sentences)} for text in texts]

    def save(self, folder: Path) -> None:
        """Write the number as JSON."""
        results.write(folder / FILE, vars(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it."""
        return cls(**results.read(folder / FILE))


def lead(text: str, number: int) -> str:
    """A text up to the end of its n-th sentence; each line, as a turn of a dialogue, starts one.

    >>> lead("Ada: Hi! Are you in?\\nBob: Yes.", 2)
    'Ada: Hi! Are you in?'
    """
    end = 0
    for sentence in words.sentences(text)[:number]:
        end = text.index(sentence, end) + len(sentence)
    return text[:end].strip()


def _score(rows: Examples, number: int) -> float:
    """The mean ROUGE-1 of the first rows, which are a sample already."""
    answers = [lead(text, number) for text in rows.texts[:ROWS]]
    return fmean(metrics.rouge(rows.targets[:ROWS], answers)[HEADLINE])
