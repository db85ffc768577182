"""The tokens of prompts and of the answers to them: one place for all that meet a model.

Training, label scoring, generation, timing and load tests take them from here, so that a model is
asked in the tokens that it learned, and judged by those that it was taught to write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunebench.prompts import Prompt, control_tokens, tokenization
from tunebench.prompts.tokenization import Ids, Marked, Tokenizer

# how a prompt ends that lets its model think first, and how an empty thought before an answer does
THOUGHTS_BEGIN = re.compile(r"<(\w+)>\s*$")
THOUGHTS_END = re.compile(r"</\w+>$")


def contexts(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[Ids]:
    """The tokens of each prompt; see `tokenization.contexts`."""
    return tokenization.contexts(tokenizer, [prompt.shown for prompt in prompts])


def completions(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[tuple[Ids, Ids]]:
    """The tokens of each prompt, and those that a model learns to write behind it, end included."""
    pairs = tokenization.encode_pairs(
        tokenizer, [(prompt.shown, prompt.learned) for prompt in prompts]
    )
    return [
        (tuple(context), (*answer, *_added_end(tokenizer, prompt.tail)))
        for prompt, (context, answer) in zip(prompts, pairs, strict=True)
    ]


def answers(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str], *, ended: bool
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    """The tokens of each prompt, and of each label as its answer behind what the template writes.

    Args:
        ended: whether what `completions` teaches behind an answer, its end, follows the label too.

    Raises:
        PromptError: if a label adds no token to its prompt.
    """
    shown = [prompt.shown for prompt in prompts]
    choices = [
        [prompt.answered(label) + Marked(prompt.tail if ended else "") for label in labels]
        for prompt in prompts
    ]
    found, behind = tokenization.encode_choices(tokenizer, shown, choices)
    if not ended:
        return found, behind
    ends = {prompt.tail: _added_end(tokenizer, prompt.tail) for prompt in prompts}
    return found, [
        tuple((*ids, *ends[prompt.tail]) for ids in row)
        for prompt, row in zip(prompts, behind, strict=True)
    ]


def one_begins_another(answers: Sequence[Ids]) -> bool:
    """Whether the tokens of one answer begin those of another."""
    ordered = sorted(answers)  # each right before what it begins
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))


def ends(tokenizer: Tokenizer, tail: str) -> Ids:
    """The tokens of which each ends an answer: those of its template, else the tokenizer's own.

    Args:
        tail: what the template writes behind an answer.
    """
    written = control_tokens.pattern(tokenizer).findall(tail)
    known = control_tokens.vocabulary(tokenizer)
    return tuple(known[token] for token in written) or _added_end(tokenizer, tail)


def _added_end(tokenizer: Tokenizer, tail: str) -> Ids:
    """The end-of-sequence token, where the template writes no end of its own."""
    if control_tokens.pattern(tokenizer).search(tail) or tokenizer.eos_token_id is None:
        return ()
    return (int(tokenizer.eos_token_id),)


@dataclass(frozen=True)
class Around:
    """What a template writes around an answer, as it reads in a text that a model wrote.

    `marker` is what ends the thoughts of a model that thinks first, as `</think>`: behind the last
    of them the answer begins.
    """

    lead: str = ""
    tail: str = ""
    marker: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt: Prompt) -> Around:
        """The words around the answers to all prompts of this one's template."""

        def read(text: str) -> str:
            ids = tokenization.encode(tokenizer, Marked(text, begin=False))
            return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()

        lead = read(prompt.lead)
        opened, closed = THOUGHTS_BEGIN.search(prompt.prompt), THOUGHTS_END.search(lead)
        marker = f"</{opened[1]}>" if opened else closed[0] if closed else ""
        return cls(lead, read(prompt.tail), marker)

    def take_off(self, text: str) -> str:
        """The answer in a text: what is left of it without the template's own words."""
        text = text.strip()
        if self.lead and text.startswith(self.lead):
            text = text.removeprefix(self.lead)
        elif self.marker:
            text = text.rpartition(self.marker)[2]
        return text.strip().removesuffix(self.tail).strip()
