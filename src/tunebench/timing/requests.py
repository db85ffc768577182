"""What is timed: a request as a user would send it, and the tokens that are generated."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from tunebench.answering import generation, scoring
from tunebench.answering.scoring import LabelEnd
from tunebench.errors import EvaluationError
from tunebench.models.adapters import virtual_tokens
from tunebench.prompts import Prompt, encoding, tokenization
from tunebench.timing.clock import TokenClock, now, timed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.prompts.tokenization import Tokenizer


@dataclass(frozen=True)
class RequestTimes:
    """Seconds of one request: in all, to the first token, and per token after it.

    `answer` compares equal if two models give the same answer.
    """

    latency: float
    time_to_first_token: float
    time_per_output_token: float | None
    answer: Hashable


@dataclass(frozen=True)
class TimedModel:
    """A loaded model, and how it answers.

    A request for a label scores all labels. A request for text generates exactly `new_tokens`
    tokens, so that every method does the same work. Only the last `prompt_limit` tokens of a prompt
    are read, so that these fit the context. No prefix is cached from one request to the next.
    """

    tokenizer: Tokenizer
    labels: Sequence[str]
    label_end: LabelEnd
    new_tokens: int
    prompt_limit: int | None
    eos_ids: frozenset[int]
    write: generation.Write
    score: scoring.Pass | None
    clock: TokenClock

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        *,
        labels: Sequence[str],
        new_tokens: int,
        label_end: LabelEnd = "where_needed",
    ) -> TimedModel:
        """A model with the fastest pass and writer that give the right answers to these prompts."""
        padding = tokenization.pad_id(tokenizer, model.config)
        options = {"do_sample": False, "max_new_tokens": new_tokens}
        config = generation.configure(model, tokenizer, options, tail=prompts[0].tail)
        eos_ids = frozenset(config.eos_token_id)
        config.eos_token_id = None  # generation does not stop at the end-of-sequence token
        prompt_limit = _prompt_limit(model, new_tokens)
        ids = _contexts(tokenizer, prompts, prompt_limit)
        score = None
        if labels:
            questions = scoring.questions(tokenizer, prompts, labels, label_end=label_end)
            score = scoring.fastest_pass(model, padding, questions, share=False)
        return cls(
            tokenizer,
            labels,
            label_end,
            new_tokens,
            prompt_limit,
            eos_ids,
            write=generation.fastest_writer(model, padding, ids, options, share=False),
            score=score,
            clock=TokenClock(model),
        )

    def batch(self, prompts: Sequence[Prompt]) -> list[Hashable]:
        """Answer some prompts as one batch."""
        if self.score is None:
            return self._texts(prompts)
        questions = scoring.questions(
            self.tokenizer, prompts, self.labels, label_end=self.label_end
        )
        scores = self.score(questions)
        return [self.labels[row.index(max(row))] for row in scores]

    def single(self, prompt: Prompt) -> RequestTimes:
        """Answer one prompt; if the answer is a label, generate tokens too."""
        label_answer = timed(lambda: self.batch([prompt])) if self.score is not None else None
        with self.clock:
            started = now()
            written = self._texts([prompt])
            ended = now()
        first, last = self._first_and_last()
        gaps = self.new_tokens - 1
        latency, answers = label_answer or (ended - started, written)
        return RequestTimes(
            latency=latency,
            time_to_first_token=first - started,
            time_per_output_token=(last - first) / gaps if gaps else None,
            answer=answers[0],
        )

    def _first_and_last(self) -> tuple[float, float]:
        moments = self.clock.moments
        if len(moments) != self.new_tokens:
            raise EvaluationError(
                f"the model's output layer ran {len(moments)} times for {self.new_tokens} tokens,"
                " so they cannot be told apart; take this model out of the grid, or freeze its"
                " time_inference stages (dvc freeze)"
            )
        return moments[0], moments[-1]

    def _texts(self, prompts: Sequence[Prompt]) -> list[Hashable]:
        ids = _contexts(self.tokenizer, prompts, self.prompt_limit)
        return [
            self.tokenizer.decode(
                list(takewhile(lambda token: token not in self.eos_ids, row)),
                skip_special_tokens=True,
            )
            for row in self.write(ids)
        ]


def _contexts(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], limit: int | None
) -> list[tuple[int, ...]]:
    ids = encoding.contexts(tokenizer, prompts)
    return ids if limit is None else [context[-limit:] for context in ids]


def _prompt_limit(model: PreTrainedModel, new_tokens: int) -> int | None:
    """How many prompt tokens fit before `new_tokens`; None where the model sets no maximum."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if length is None else max(1, length - virtual_tokens(model) - new_tokens)
