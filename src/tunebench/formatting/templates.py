"""Templates as layouts for one tokenizer: the text around rows, answers and solved examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from tunebench.config.data import Template
from tunebench.errors import PromptError
from tunebench.prompts import control_tokens
from tunebench.prompts.tokenization import MarkedText, Span, Tokenizer

# some chat templates contain today's date; Llama 3.1's default date makes prompts reproducible
FIXED_VARIABLES = {"date_string": "26 Jul 2024"}

# placeholders for fields while a chat template is rendered, and white space to see what it strips
_MARK = re.compile("\ue000([0-9]+)\ue001")
_WIDE_SPACE = "\u2003"


@dataclass(frozen=True)
class Field:
    """A placeholder for a column of the row, or of the solved example number `shot`.

    If a chat template strips its messages, the row's text is stripped in the same way.
    """

    name: str
    shot: int | None = None
    strip_left: bool = False
    strip_right: bool = False

    def fill(self, text: str) -> MarkedText:
        """The text in place of this field."""
        text = text.lstrip() if self.strip_left else text
        return MarkedText.from_row(text.rstrip() if self.strip_right else text)


Piece = str | Field
Turn = tuple[str, list[Piece]]  # a role, and its content


@dataclass(frozen=True)
class Layout:
    """The pieces of a prompt, and the text around its answer.

    A completion is `lead`, the answer and `tail`, which ends with the template's end-of-turn token
    if it has one. `begin` is that of `tokenization.MarkedText`.
    """

    prompt: Sequence[Piece]
    lead: str = ""
    tail: str = ""
    answer: Field = Field("completion")
    begin: bool = True

    def fill(self, row: Mapping[str, str], shots: Sequence[Mapping[str, str]]) -> MarkedText:
        """The prompt of one row, after its solved examples."""
        filled = MarkedText("", begin=self.begin)
        for piece in self.prompt:
            if isinstance(piece, Field):
                source = row if piece.shot is None else shots[piece.shot]
                filled += piece.fill(source[piece.name])
            else:
                filled += MarkedText(piece)
        return filled

    def complete(self, target: str) -> tuple[str, Span]:
        """The completion, and the span of the answer in it."""
        answer = self.answer.fill(target).text
        start = len(self.lead)
        return f"{self.lead}{answer}{self.tail}", (start, start + len(answer))


def build_layout(
    template: Template, tokenizer: Tokenizer, *, instruction: str = "", shots: int = 0
) -> Layout:
    """A template as pieces, with fields for the row and for the solved examples.

    Raises:
        PromptError: if the tokenizer has no chat template, or that refuses or omits a turn.
    """
    parse = _Parser(instruction)
    if template.messages is not None:
        return _build_chat_layout(template, tokenizer, parse, shots)
    examples = [
        piece for shot in range(shots) for piece in parse.pieces(str(template.shot), shot=shot)
    ]
    prompt: list[Piece] = []
    for piece in parse.pieces(str(template.prompt)):
        prompt += examples if piece == Field("shots") else [piece]
    lead, tail = _completion_affixes(template)
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


def _build_chat_layout(
    template: Template, tokenizer: Tokenizer, parse: _Parser, shots: int
) -> Layout:
    if tokenizer.chat_template is None:
        raise PromptError(
            "the tokenizer has no chat template; use a template with a prompt, or put a"
            " chat_template.jinja into the model's folder"
        )
    template_messages = template.messages or []
    system_entries = [entry for entry in template_messages if entry.role == "system"]
    turns = [entry for entry in template_messages if entry.role != "system"]
    messages: list[Turn] = [(entry.role, parse.pieces(entry.content)) for entry in system_entries]
    for shot in range(shots):
        messages += [(entry.role, parse.pieces(entry.content, shot=shot)) for entry in turns]
        messages.append(("assistant", parse.pieces(template.completion, shot=shot)))
    messages += [(entry.role, parse.pieces(entry.content)) for entry in turns]
    variables = FIXED_VARIABLES | template.variables

    def render(entries: list[Turn], **options: Any) -> list[Piece]:
        return _render(tokenizer, entries, variables | options)

    prompt = render(messages, add_generation_prompt=True)
    _check_fields(prompt, messages)
    with_answer = render([*messages, ("assistant", parse.pieces(template.completion))])
    return _with_answer(prompt, with_answer, _completion_affixes(template), tokenizer)


def _completion_affixes(template: Template) -> tuple[str, str]:
    """The text of a template's `completion` before and after the answer."""
    lead, tail = template.completion.split("{completion}")
    return lead.format(), tail.format()


def _render(tokenizer: Tokenizer, entries: list[Turn], options: dict[str, Any]) -> list[Piece]:
    """The turns as rendered by the chat template, with fields at their places."""
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
    except Exception as error:  # what its expressions raise, in jinja2's sandbox
        raise PromptError(
            f"the tokenizer's chat template fails ({type(error).__name__}: {error}); mend it in the"
            " model's folder"
        ) from None


def _check_fields(prompt: list[Piece], messages: list[Turn]) -> None:
    shown = {(piece.name, piece.shot) for piece in prompt if isinstance(piece, Field)}
    for field in (piece for _, pieces in messages for piece in pieces):
        if isinstance(field, Field) and (field.name, field.shot) not in shown:
            raise PromptError(
                f"the tokenizer's chat template leaves out {{{field.name}}}; put it into another"
                " role's message"
            )


def _with_answer(
    prompt: list[Piece], with_answer: list[Piece], affixes: tuple[str, str], tokenizer: Tokenizer
) -> Layout:
    """The layout of a prompt, with the chat template's text around its answer.

    Args:
        affixes: the text of the template's `completion` before and after the answer.
    """
    position = max(
        index
        for index, piece in enumerate(with_answer)
        if isinstance(piece, Field) and piece.name == "completion"
    )
    answer = with_answer[position]
    assert isinstance(answer, Field)
    after = "".join(piece for piece in with_answer[position + 1 :] if isinstance(piece, str))
    end = control_tokens.pattern(tokenizer).search(
        after, after.startswith(affixes[1]) * len(affixes[1])
    )
    before, prompt_ending = _ending(with_answer[:position]), _ending(prompt)
    return Layout(
        prompt,
        # if the generation prompt is not a prefix of the conversation, it takes precedence
        lead=before.removeprefix(prompt_ending) if before.startswith(prompt_ending) else affixes[0],
        tail=after[: end.end()] if end else affixes[1],
        answer=answer,
        begin=False,
    )


def _ending(pieces: list[Piece]) -> str:
    """The text after the last field."""
    last = pieces[-1] if pieces else ""
    return last if isinstance(last, str) else ""
