"""Templates made ready for one tokenizer: what stands around a row, an answer and its examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from tunebench.config.data import Template
from tunebench.errors import PromptError
from tunebench.prompts import control_tokens
from tunebench.prompts.tokenization import Marked, Span, Tokenizer

# some chat templates print today's date; Llama 3.1's own default makes every day's prompts the same
FIXED_VARIABLES = {"date_string": "26 Jul 2024"}

# no text holds them: a field's place while a chat template renders, and white space to try it with
_MARK = re.compile("\ue000([0-9]+)\ue001")
_WIDE_SPACE = "\u2003"


@dataclass(frozen=True)
class Field:
    """A place that the row fills, or the solved example number `shot`.

    Chat templates may strip what they are given; here that happens to the row's own text.
    """

    name: str
    shot: int | None = None
    strip_left: bool = False
    strip_right: bool = False

    def fill(self, text: str) -> Marked:
        """What stands in this place."""
        text = text.lstrip() if self.strip_left else text
        return Marked.from_row(text.rstrip() if self.strip_right else text)


Piece = str | Field
Turn = tuple[str, list[Piece]]  # a role, and what it says


@dataclass(frozen=True)
class Layout:
    """The pieces of a prompt, and what comes before and after the answer to it.

    The model writes `lead`, the answer and `tail`, which ends with the end-of-turn token where the
    template has one. `begin` is that of `tokenization.Marked`.
    """

    prompt: Sequence[Piece]
    lead: str = ""
    tail: str = ""
    answer: Field = Field("completion")
    begin: bool = True

    def fill(self, row: Mapping[str, str], shots: Sequence[Mapping[str, str]]) -> Marked:
        """The prompt of one row, after its solved examples."""
        filled = Marked("", begin=self.begin)
        for piece in self.prompt:
            if isinstance(piece, Field):
                source = row if piece.shot is None else shots[piece.shot]
                filled += piece.fill(source[piece.name])
            else:
                filled += Marked(piece)
        return filled

    def complete(self, target: str) -> tuple[str, Span]:
        """What a model learns to write, and the span of the answer in it."""
        answer = self.answer.fill(target).text
        start = len(self.lead)
        return f"{self.lead}{answer}{self.tail}", (start, start + len(answer))


def lay_out(
    template: Template, tokenizer: Tokenizer, *, instruction: str = "", shots: int = 0
) -> Layout:
    """A template as pieces, its solved examples as fields of their own.

    Raises:
        PromptError: if the tokenizer has no chat template, or it refuses or leaves out a turn.
    """
    parse = _Parser(instruction)
    if template.messages is not None:
        return _lay_out_chat(template, tokenizer, parse, shots)
    examples = [
        piece for shot in range(shots) for piece in parse.pieces(str(template.shot), shot=shot)
    ]
    prompt: list[Piece] = []
    for piece in parse.pieces(str(template.prompt)):
        prompt += examples if piece == Field("shots") else [piece]
    lead, tail = _around(template)
    return Layout(prompt, lead=lead, tail=tail)


@dataclass(frozen=True)
class _Parser:
    instruction: str

    def pieces(self, pattern: str, *, shot: int | None = None) -> list[Piece]:
        return list(self._pieces(pattern, shot))

    def _pieces(self, pattern: str, shot: int | None) -> Iterator[Piece]:
        for literal, name, _, _ in Formatter().parse(pattern):
            if literal:
                yield literal
            if name == "instruction":
                yield self.instruction
            elif name is not None:
                # all examples share the row's list of labels
                yield Field(name, None if name == "labels" else shot)


def _lay_out_chat(template: Template, tokenizer: Tokenizer, parse: _Parser, shots: int) -> Layout:
    if tokenizer.chat_template is None:
        raise PromptError(
            "the tokenizer has no chat template; use a template with a prompt, or put a"
            " chat_template.jinja into the model's folder"
        )
    given = template.messages or []
    fixed = [entry for entry in given if entry.role == "system"]
    turns = [entry for entry in given if entry.role != "system"]
    messages: list[Turn] = [(entry.role, parse.pieces(entry.content)) for entry in fixed]
    for shot in range(shots):
        messages += [(entry.role, parse.pieces(entry.content, shot=shot)) for entry in turns]
        messages.append(("assistant", parse.pieces(template.completion, shot=shot)))
    messages += [(entry.role, parse.pieces(entry.content)) for entry in turns]
    variables = FIXED_VARIABLES | template.variables

    def render(entries: list[Turn], **options: Any) -> list[Piece]:
        return _render(tokenizer, entries, variables | options)

    asked = render(messages, add_generation_prompt=True)
    _refuse_lost_fields(asked, messages)
    answered = render([*messages, ("assistant", parse.pieces(template.completion))])
    return _with_answer(asked, answered, _around(template), tokenizer)


def _around(template: Template) -> tuple[str, str]:
    """What a template's `completion` writes before and behind the answer."""
    lead, tail = template.completion.split("{completion}")
    return lead.format(), tail.format()


def _render(tokenizer: Tokenizer, entries: list[Turn], options: dict[str, Any]) -> list[Piece]:
    """What the chat template makes of the turns, with its fields where it puts them."""
    fields: list[Field] = []

    def content(pieces: list[Piece], space: str) -> str:
        text = ""
        for piece in pieces:
            if isinstance(piece, Field):
                text += f"{space}\ue000{len(fields)}\ue001{space}"
                fields.append(piece)
            else:
                text += piece
        return text

    def rendered(space: str) -> str:
        fields.clear()
        turns = [{"role": role, "content": content(pieces, space)} for role, pieces in entries]
        return _apply(tokenizer, turns, options)

    spaced = rendered(_WIDE_SPACE)
    pieces: list[Piece] = []
    for index, part in enumerate(_MARK.split(rendered(""))):
        if index % 2:
            mark = f"\ue000{part}\ue001"
            pieces.append(
                replace(
                    fields[int(part)],
                    strip_left=_WIDE_SPACE + mark not in spaced,
                    strip_right=mark + _WIDE_SPACE not in spaced,
                )
            )
        elif part:
            pieces.append(part)
    return pieces


def _apply(tokenizer: Tokenizer, turns: list[dict[str, str]], options: dict[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except TemplateError as error:
        raise PromptError(
            f"the tokenizer's chat template refuses these messages: {error}"
        ) from None


def _refuse_lost_fields(asked: list[Piece], messages: list[Turn]) -> None:
    shown = {(piece.name, piece.shot) for piece in asked if isinstance(piece, Field)}
    for field in (piece for _, pieces in messages for piece in pieces):
        if isinstance(field, Field) and (field.name, field.shot) not in shown:
            raise PromptError(
                f"the tokenizer's chat template leaves out {{{field.name}}}; put it into another"
                " role's message"
            )


def _with_answer(
    asked: list[Piece], answered: list[Piece], own: tuple[str, str], tokenizer: Tokenizer
) -> Layout:
    """Prompt, and what the chat template writes around the answer to it.

    Args:
        own: what our template's `completion` writes before and behind the answer.
    """
    place = max(
        index
        for index, piece in enumerate(answered)
        if isinstance(piece, Field) and piece.name == "completion"
    )
    answer = answered[place]
    assert isinstance(answer, Field)
    after = "".join(piece for piece in answered[place + 1 :] if isinstance(piece, str))
    end = control_tokens.pattern(tokenizer).search(after, after.startswith(own[1]) * len(own[1]))
    before, shown = _ending(answered[:place]), _ending(asked)
    return Layout(
        asked,
        # where the generation prompt is no beginning of the answered one, the former counts
        lead=before.removeprefix(shown) if before.startswith(shown) else own[0],
        tail=after[: end.end()] if end else own[1],
        answer=answer,
        begin=False,
    )


def _ending(pieces: list[Piece]) -> str:
    """The text behind the last field."""
    last = pieces[-1] if pieces else ""
    return last if isinstance(last, str) else ""
