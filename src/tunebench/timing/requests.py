"""A request as a user would send it: a label is scored, or a text is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from tunebench.answering import scoring
from tunebench.answering.generation import Text
from tunebench.answering.scoring import LabelEnd
from tunebench.config.options import Options
from tunebench.config.timed import GREEDY
from tunebench.prompts import Prompt, tokenization
from tunebench.timing.clock import timed
from tunebench.timing.writing import RequestTimes, Writing

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.prompts.tokenization import Tokenizer


class Answerer(Protocol):
    """What can be timed: it answers one prompt, or several as a batch."""

    @property
    def writes_tokens(self) -> bool:
        """Whether an answer is made of tokens, which are counted and timed."""

    def batch(self, prompts: Sequence[Prompt]) -> list[Text]:
        """Answer some prompts as one batch; a label is a text of no tokens."""

    def single(self, prompt: Prompt) -> RequestTimes:
        """Answer one prompt."""


@dataclass(frozen=True)
class TimedModel:
    """A loaded model, and how it answers.

    With `labels`, a request scores all of them; else it writes a text. `writing` is None where
    nothing is written.
    """

    tokenizer: Tokenizer
    labels: Sequence[str]
    label_end: LabelEnd
    score: scoring.Pass | None
    writing: Writing | None

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        *,
        labels: Sequence[str],
        new_tokens: int | None,
        label_end: LabelEnd = "where_needed",
        options: Options = GREEDY,
    ) -> TimedModel:
        """A model with the fastest pass and writer that give the right answers to these prompts.

        Args:
            labels: empty where texts are generated.
            new_tokens: exactly so many are written by each request, after its label too.
            options: GenerationConfig fields for texts of their own length.
        """
        score = None
        if labels:
            questions = scoring.questions(tokenizer, prompts, labels, label_end=label_end)
            padding = tokenization.pad_id(tokenizer, model.config)
            score = scoring.fastest_pass(model, padding, questions, share=False)
        writes = not labels or new_tokens is not None
        writing = Writing.of(model, tokenizer, prompts, options, new_tokens) if writes else None
        return cls(tokenizer, labels, label_end, score, writing)

    @property
    def writes_tokens(self) -> bool:
        """Whether texts are generated; labels are scored otherwise."""
        return self.score is None

    def batch(self, prompts: Sequence[Prompt]) -> list[Text]:
        """Answer some prompts as one batch; a label is a text of no tokens."""
        if self.score is None:
            assert self.writing
            return self.writing.texts(prompts)
        questions = scoring.questions(
            self.tokenizer, prompts, self.labels, label_end=self.label_end
        )
        scores = self.score(questions)
        return [Text(self.labels[row.index(max(row))], 0) for row in scores]

    def single(self, prompt: Prompt) -> RequestTimes:
        """Answer one prompt; after a label, tokens are written where their number is given."""
        if self.score is None:
            assert self.writing
            return self.writing.single(prompt)
        latency, (label,) = timed(lambda: self.batch([prompt]))
        if self.writing is None:
            return RequestTimes(latency, label)
        return replace(self.writing.single(prompt), latency=latency, answer=label)
