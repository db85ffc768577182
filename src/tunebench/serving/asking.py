"""What a server is asked for: a text, or where an evaluation scores labels, one of them.

For a label, the server is asked for no more tokens than it takes to tell the labels apart, out of
the tokens that labels have there. If their first tokens differ, that is one token: one forward pass
decides. Labels of one token each are chosen by the scores of an evaluation. Of longer ones, each
token is chosen before the next is known; `answers_that_differ` shows how often that ends elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any, Literal

from tunebench import evaluation
from tunebench.answering import scoring
from tunebench.config.inference import Server
from tunebench.config.options import Options
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt, encoding
from tunebench.prompts.tokenization import Ids, Tokenizer

AnsweredBy = Literal["one token", "constrained tokens", "written"]

# added to the logits of allowed tokens. No two logits of a model differ by as much, and a float32
# sum with it rounds by 6e-5, less than scores do (`scoring.TOLERANCE`)
ALLOWED_BIAS = 1000.0
CUT_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Head:
    """A label's first tokens that no other label has, and their text.

    `ended` is whether the end of the answer is among them.
    """

    label: str
    tokens: Ids
    text: str
    ended: bool

    def begins(self, text: str) -> bool:
        """Whether an answer chose this label."""
        return text == self.text if self.ended or not self.text else text.startswith(self.text)


@dataclass(frozen=True)
class Choice:
    """The tokens that all labels begin with after a prompt, and the heads of what follows them."""

    shared: Ids
    heads: tuple[Head, ...]


@dataclass(frozen=True)
class Written:
    """Texts, as an evaluation generates them."""

    answering: Answering
    answer_format: encoding.AnswerFormat
    answered_by: AnsweredBy = "written"

    @property
    def appended(self) -> dict[str, Ids]:
        """Nothing follows a prompt."""
        return {}

    @property
    def generation(self) -> Options:
        """GenerationConfig fields."""
        return self.answering.generation

    @property
    def body(self) -> dict[str, Any]:
        """The fields of every request."""
        return _request_body(self.generation)

    def read(self, _: Prompt, text: str) -> dict[str, Any]:
        """The answer in a served text, as `evaluation.read`."""
        return evaluation.read(text, self.answer_format, self.answering)


@dataclass(frozen=True)
class Chosen:
    """Labels: the choice after each prompt, by the prompt's id, and how a server is held to it."""

    choices: dict[str, Choice]
    allowed_tokens: Literal["generation_config", "allowed_token_ids"]

    @property
    def tokens(self) -> list[int]:
        """The tokens that some label has in its head."""
        return sorted({token for head in self._heads for token in head.tokens})

    @property
    def max_tokens(self) -> int:
        """How many tokens tell every label."""
        return max(len(head.tokens) for head in self._heads)

    @property
    def answered_by(self) -> AnsweredBy:
        """Whether one forward pass decides."""
        return "one token" if self.max_tokens == 1 else "constrained tokens"

    @property
    def appended(self) -> dict[str, Ids]:
        """The tokens that follow each prompt before a label is chosen, by the prompt's id."""
        return {id_: choice.shared for id_, choice in self.choices.items()}

    @property
    def generation(self) -> Options:
        """GenerationConfig fields.

        `transformers serve` copies its GenerationConfig for every request, so tokens are allowed by
        a short `sequence_bias`: `suppress_tokens` of all others took 60 ms of each request with a
        vocabulary of 128,256.
        """
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": self.max_tokens}
        if self.allowed_tokens == "generation_config":
            options["sequence_bias"] = [[[token], ALLOWED_BIAS] for token in self.tokens]
        return options

    @property
    def body(self) -> dict[str, Any]:
        """The fields of every request."""
        body = _request_body(self.generation)
        if self.allowed_tokens == "allowed_token_ids":
            body["allowed_token_ids"] = self.tokens
        return body

    def read(self, prompt: Prompt, text: str) -> dict[str, Any]:
        """The label that a served text chose, None if none; fields as of `evaluation.read`."""
        text = text.strip()
        chosen = max(
            (head for head in self.choices[prompt.id].heads if head.begins(text)),
            key=lambda head: len(head.text),
            default=None,
        )
        return {"answer": chosen and chosen.label, "strict": chosen is not None, "text": text}

    @property
    def _heads(self) -> list[Head]:
        return [head for choice in self.choices.values() for head in choice.heads]


def asking(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], answering: Answering, server: Server
) -> Written | Chosen:
    """What a server is asked for; a text if labels are not scored, or it cannot be held to them."""
    if not answering.scored or server.allowed_tokens is None:
        answer_format = encoding.AnswerFormat.of(tokenizer, prompts[0])
        return Written(answering.limited(prompts), answer_format)
    questions = scoring.questions(
        tokenizer,
        prompts,
        answering.labels,
        # where one label begins another, only the end tells them, even if it is not scored
        label_end="always" if answering.settings.label_end == "always" else "where_needed",
    )
    known: dict[object, Choice] = {}
    choices = {}
    for prompt, question in zip(prompts, questions, strict=True):
        key = question.tree.paths, prompt.tail
        if key not in known:
            answers = [question.tree.answer(label) for label in range(len(answering.labels))]
            ends = encoding.end_token_ids(tokenizer, prompt.tail)
            known[key] = _choice(tokenizer, answering.labels, answers, ends)
        choices[prompt.id] = known[key]
    return Chosen(choices, server.allowed_tokens)


def _choice(
    tokenizer: Tokenizer, labels: Sequence[str], answers: Sequence[Ids], ends: Ids
) -> Choice:
    same = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*answers, strict=False))
    shared = answers[0][: min(len(list(same)), *(len(answer) - 1 for answer in answers))]
    rests = [answer[len(shared) :] for answer in answers]
    beginnings = Counter(rest[:size] for rest in rests for size in range(1, len(rest) + 1))
    sizes = [
        next(size for size in count(1) if beginnings[rest[:size]] == 1 or size == len(rest))
        for rest in rests
    ]
    for further in range(max(map(len, rests))):
        heads = [rest[: size + further] for rest, size in zip(rests, sizes, strict=True)]
        texts = [str(tokenizer.decode(head, skip_special_tokens=True)).strip() for head in heads]
        # a token may be a part of a character, which no text shows
        if len(set(texts)) == len(texts) and not any(CUT_CHARACTER in text for text in texts):
            break
    return Choice(
        shared,
        tuple(
            Head(label, head, text, not set(ends).isdisjoint(head))
            for label, head, text in zip(labels, heads, texts, strict=True)
        ),
    )


def _request_body(options: Options) -> dict[str, Any]:
    """GenerationConfig fields as the OpenAI API names them, as far as it has them."""
    body = {"max_tokens": options["max_new_tokens"]}
    if not options.get("do_sample"):
        return body | {"temperature": 0}
    return body | {key: options[key] for key in ("temperature", "top_p") if key in options}
