"""Texts as they are written while they are timed: up to their own end, or of a fixed length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunebench.answering import generation
from tunebench.answering.generation import Text
from tunebench.config.options import Options
from tunebench.config.timed import GREEDY
from tunebench.errors import EvaluationError
from tunebench.models.adapters import virtual_tokens
from tunebench.prompts import Prompt, encoding, tokenization
from tunebench.timing.clock import TokenClock, now

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.prompts.tokenization import Tokenizer


@dataclass(frozen=True)
class RequestTimes:
    """Seconds of one request: in all, to the first token, and per token after it.

    The latter two are None where no token, or a single one, is written.
    """

    latency: float
    answer: Text
    time_to_first_token: float | None = None
    time_per_output_token: float | None = None


@dataclass(frozen=True)
class Writing:
    """A loaded model that writes texts.

    Without `new_tokens` they are those of the evaluation. With it, each text goes on to that many
    tokens, past its end; only the last `prompt_limit` tokens of a prompt are read, so that these
    fit the context. No prefix is cached from one request to the next.
    """

    tokenizer: Tokenizer
    new_tokens: int | None
    prompt_limit: int | None
    eos_ids: frozenset[int]
    write: generation.Write
    clock: TokenClock | None  # None where tokens are not computed one by one

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        options: Options,
        new_tokens: int | None,
    ) -> Writing:
        """A model with the fastest writer that gives the right texts for these prompts.

        Args:
            options: GenerationConfig fields, as for the evaluation; without `new_tokens` only.
        """
        fixed = GREEDY | {"max_new_tokens": new_tokens}
        options = generation.limited(options, prompts) if new_tokens is None else fixed
        config = generation.configure(model, tokenizer, options, tail=prompts[0].tail)
        eos_ids = frozenset(config.eos_token_id)
        prompt_limit = None
        if new_tokens is not None:
            config.eos_token_id = None  # generation does not stop at the end-of-sequence token
            prompt_limit = _prompt_limit(model, new_tokens)
        contexts = _contexts(tokenizer, prompts, prompt_limit)
        padding = tokenization.pad_id(tokenizer, model.config)
        return cls(
            tokenizer,
            new_tokens,
            prompt_limit,
            eos_ids,
            write=generation.fastest_writer(model, padding, contexts, options, share=False),
            clock=TokenClock(model) if _one_by_one(options) else None,
        )

    def texts(self, prompts: Sequence[Prompt]) -> list[Text]:
        """The texts of some prompts, written as one batch."""
        rows = self.write(_contexts(self.tokenizer, prompts, self.prompt_limit))
        texts = [generation.decode(row, self.tokenizer, self.eos_ids) for row in rows]
        if self.new_tokens is None:
            return texts
        return [replace(text, tokens=len(row)) for text, row in zip(texts, rows, strict=True)]

    def single(self, prompt: Prompt) -> RequestTimes:
        """The text of one prompt, and the seconds of its tokens.

        Raises:
            EvaluationError: if the model's tokens cannot be told apart.
        """
        if self.clock is None:
            started = now()
            (text,) = self.texts([prompt])
            return RequestTimes(now() - started, text)
        with self.clock:
            started = now()
            (text,) = self.texts([prompt])
            ended = now()
        moments = self.clock.moments
        if len(moments) != text.tokens:
            raise EvaluationError(
                f"the model's output layer ran {len(moments)} times for {text.tokens} tokens,"
                " so they cannot be told apart; take this model out of the grid, or freeze its"
                " time_inference stages (dvc freeze)"
            )
        gaps = text.tokens - 1
        return RequestTimes(
            ended - started,
            text,
            moments[0] - started,
            (moments[-1] - moments[0]) / gaps if gaps else None,
        )


def _one_by_one(options: Options) -> bool:
    """Whether the output layer runs once for each token: not so in a beam search."""
    return (options.get("num_beams") or 1) == 1 and not options.get("prefill_chunk_size")


def _contexts(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], limit: int | None
) -> list[tuple[int, ...]]:
    ids = encoding.contexts(tokenizer, prompts)
    return ids if limit is None else [context[-limit:] for context in ids]


def _prompt_limit(model: PreTrainedModel, new_tokens: int) -> int | None:
    """How many prompt tokens fit before `new_tokens`; None where the model sets no maximum."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if length is None else max(1, length - virtual_tokens(model) - new_tokens)
