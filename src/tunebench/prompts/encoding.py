"""The tokens of prompts and of their answers, for everything that runs a model.

Training, label scoring, generation, timing and load tests all use these, so that a model is tested
with the same tokens as in training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunebench.prompts import Prompt, control_tokens, tokenization
from tunebench.prompts.tokenization import Ids, MarkedText, Tokenizer

# an open thinking tag at a prompt's end, and the closing tag of an empty thought before an answer
THOUGHTS_BEGIN = re.compile(r"<(\w+)>\s*$")
THOUGHTS_END = re.compile(r"</\w+>$")


def contexts(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[Ids]:
    """The tokens of each prompt; see `tokenization.contexts`."""
    return tokenization.contexts(tokenizer, [prompt.marked_prompt for prompt in prompts])


def completions(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[tuple[Ids, Ids]]:
    """The tokens of each prompt and of its completion, including the end-of-answer token."""
    pairs = tokenization.encode_pairs(
        tokenizer, [(prompt.marked_prompt, prompt.marked_completion) for prompt in prompts]
    )
    return [
        (tuple(context), (*answer, *_eos_if_needed(tokenizer, prompt.tail)))
        for prompt, (context, answer) in zip(prompts, pairs, strict=True)
    ]


def answers(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str], *, ended: bool
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    """The tokens of each prompt, and of each label as its answer, after the template's lead.

    Args:
        ended: whether a label is followed by the end of the answer, as in `completions`.

    Raises:
        PromptError: if a label adds no token to its prompt.
    """
    marked_prompts = [prompt.marked_prompt for prompt in prompts]
    choices = [
        [
            prompt.completed_with(label) + MarkedText(prompt.tail if ended else "")
            for label in labels
        ]
        for prompt in prompts
    ]
    context_ids, answer_ids = tokenization.encode_choices(tokenizer, marked_prompts, choices)
    if not ended:
        return context_ids, answer_ids
    ends = {prompt.tail: _eos_if_needed(tokenizer, prompt.tail) for prompt in prompts}
    return context_ids, [
        tuple((*ids, *ends[prompt.tail]) for ids in row)
        for prompt, row in zip(prompts, answer_ids, strict=True)
    ]


def one_begins_another(answers: Sequence[Ids]) -> bool:
    """Whether one answer's tokens are a prefix of another's."""
    ordered = sorted(answers)  # a prefix comes right before a longer answer
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))


def end_token_ids(tokenizer: Tokenizer, tail: str) -> Ids:
    """The tokens that end an answer: the template's, or else the end-of-sequence token.

    Args:
        tail: what the template writes after an answer.
    """
    end_tokens = control_tokens.pattern(tokenizer).findall(tail)
    token_ids = control_tokens.vocabulary(tokenizer)
    return tuple(token_ids[token] for token in end_tokens) or _eos_if_needed(tokenizer, tail)


def _eos_if_needed(tokenizer: Tokenizer, tail: str) -> Ids:
    """The end-of-sequence token, if the template has no control token after an answer."""
    if control_tokens.pattern(tokenizer).search(tail) or tokenizer.eos_token_id is None:
        return ()
    return (int(tokenizer.eos_token_id),)


@dataclass(frozen=True)
class AnswerFormat:
    """What a template writes around an answer, as it appears in generated text.

    `marker` is the closing tag of a reasoning model's thoughts, as `</think>`; the answer follows
    the last one.
    """

    lead: str = ""
    tail: str = ""
    marker: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt: Prompt) -> AnswerFormat:
        """The format of the answers to all prompts with this one's template."""

        def read(text: str) -> str:
            ids = tokenization.encode(tokenizer, MarkedText(text, begin=False))
            return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()

        lead = read(prompt.lead)
        opened, closed = THOUGHTS_BEGIN.search(prompt.prompt), THOUGHTS_END.search(lead)
        marker = f"</{opened[1]}>" if opened else closed[0] if closed else ""
        return cls(lead, read(prompt.tail), marker)

    def extract_answer(self, text: str) -> str:
        """The answer in a generated text, without the template's text around it."""
        text = text.strip()
        if self.lead and text.startswith(self.lead):
            text = text.removeprefix(self.lead)
        elif self.marker:
            text = text.rpartition(self.marker)[2]
        return text.strip().removesuffix(self.tail).strip()
