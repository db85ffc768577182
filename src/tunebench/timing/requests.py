"""What is timed: a request as a user of the task would send it, and the tokens that are written."""

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
class Single:
    """One request by itself, in seconds: all of it, to the first token, for each token after it.

    `answer` is whatever is equal where two models answer alike.
    """

    latency: float
    time_to_first_token: float
    time_per_output_token: float | None
    answer: Hashable


@dataclass(frozen=True)
class Subject:
    """A loaded model, and the ways to ask it.

    A request for a label is the scores of all labels; one for text is `new_tokens` tokens, always
    that many, so that two methods do the same work. A prompt leaves room for them in the context:
    the last `room` tokens of it are read. Nothing is kept from one request for the next: not even
    what all prompts begin with.
    """

    tokenizer: Tokenizer
    labels: Sequence[str]
    label_end: LabelEnd
    new_tokens: int
    room: int | None
    ends: frozenset[int]
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
    ) -> Subject:
        """A model, asked in the fastest way that gives the right answers to these prompts."""
        padding = tokenization.pad_id(tokenizer, model.config)
        options = {"do_sample": False, "max_new_tokens": new_tokens}
        config = generation.configure(model, tokenizer, options, tail=prompts[0].tail)
        ends = frozenset(config.eos_token_id)
        config.eos_token_id = None  # text goes on behind its end
        room = _room(model, new_tokens)
        ids = _contexts(tokenizer, prompts, room)
        score = None
        if labels:
            asked = scoring.questions(tokenizer, prompts, labels, label_end=label_end)
            score = scoring.fastest_pass(model, padding, asked, share=False)
        return cls(
            tokenizer,
            labels,
            label_end,
            new_tokens,
            room,
            ends,
            write=generation.fastest_writer(model, padding, ids, options, share=False),
            score=score,
            clock=TokenClock(model),
        )

    def batch(self, prompts: Sequence[Prompt]) -> list[Hashable]:
        """Answer some prompts as one batch."""
        if self.score is None:
            return self._texts(prompts)
        asked = scoring.questions(self.tokenizer, prompts, self.labels, label_end=self.label_end)
        scores = self.score(asked)
        return [self.labels[row.index(max(row))] for row in scores]

    def single(self, prompt: Prompt) -> Single:
        """Answer one prompt, and where that is a label, write tokens too."""
        asked = timed(lambda: self.batch([prompt])) if self.score is not None else None
        with self.clock:
            started = now()
            written = self._texts([prompt])
            ended = now()
        first, last = self._first_and_last()
        gaps = self.new_tokens - 1
        latency, answers = asked or (ended - started, written)
        return Single(
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
        ids = _contexts(self.tokenizer, prompts, self.room)
        return [
            self.tokenizer.decode(
                list(takewhile(lambda token: token not in self.ends, row)),
                skip_special_tokens=True,
            )
            for row in self.write(ids)
        ]


def _contexts(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], room: int | None
) -> list[tuple[int, ...]]:
    ids = encoding.contexts(tokenizer, prompts)
    return ids if room is None else [context[-room:] for context in ids]


def _room(model: PreTrainedModel, new_tokens: int) -> int | None:
    """How many tokens of a prompt fit before so many new ones; None where the model sets no end."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if length is None else max(1, length - virtual_tokens(model) - new_tokens)
