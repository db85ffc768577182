"""Rows to prompts and completions: templates as data, cut to the model's context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from string import Formatter

from tunebench import results, tokenization
from tunebench.config.data import Template
from tunebench.errors import PromptError
from tunebench.tables import TextRow
from tunebench.tokenization import Span, Tokenizer

# a text cut to fewer tokens than this says nothing, so its prompt counts as not fitting
LEAST_TEXT_TOKENS = 8


@dataclass(frozen=True)
class Prompt:
    """One row as the model sees it.

    `data` holds the character spans of `prompt` that came from rows, which no control token may
    come out of; `label` is the label's name, or None where the task is to write; `tokens` counts
    the prompt's, and `cut` tells whether its text was shortened.
    """

    id: str
    prompt: str
    completion: str
    label: str | None = None
    split: str = "test"
    data: list[Span] = field(default_factory=list)
    tokens: int = 0
    cut: bool = False


@dataclass(frozen=True)
class PromptFormat:
    """What makes prompts out of rows, the same for all rows of one file.

    `max_length` counts prompt and answer; for the answer `reserved` tokens are kept free, or as
    many as the row's own completion needs where that is more (in training).
    """

    template: Template
    instruction: str
    tokenizer: Tokenizer
    max_length: int
    reserved: int
    truncation_side: str
    shots: Sequence[TextRow] = ()
    labelled: bool = True

    def format(self, row: TextRow, *, split: str = "test", answer: bool = True) -> Prompt:
        """One row's prompt, its text shortened where the whole would not fit.

        Args:
            answer: whether the row's completion will follow the prompt, as it does in training.

        Raises:
            PromptError: where even a text of a few tokens does not fit.
        """
        text, kept = row["text"], len(row["text"])
        while True:
            prompt = self._render(text)
            tokens = len(tokenization.encode(self.tokenizer, prompt.text, prompt.data))
            needed = tokens + self._answer_tokens(row["target"] if answer else "")
            if needed <= self.max_length:
                break
            text = self._shorten(text, needed, row["id"])
        return Prompt(
            id=row["id"],
            prompt=prompt.text,
            completion=row["target"],
            label=row["target"] if self.labelled else None,
            split=split,
            data=prompt.data,
            tokens=tokens,
            cut=len(text) < kept,
        )

    def _render(self, text: str) -> _Text:
        fields = {
            "instruction": _Text(self.instruction),
            "shots": self._solved_examples,
            "text": _Text.from_row(text),
        }
        return _fill(str(self.template.prompt), fields)

    @cached_property
    def _solved_examples(self) -> _Text:
        solved = _Text("")
        for shot in self.shots:
            fields = {"text": shot["text"], "completion": shot["target"]}
            rows = {name: _Text.from_row(value) for name, value in fields.items()}
            solved += _fill(self.template.shot or "", rows)
        return solved

    def _answer_tokens(self, completion: str) -> int:
        """Tokens to keep free, the end-of-sequence token included."""
        own = len(self.tokenizer(completion, add_special_tokens=False)["input_ids"])
        return max(own + 1, self.reserved)

    def _shorten(self, text: str, needed: int, row: str) -> str:
        offsets = tokenization.offsets(self.tokenizer, text)
        keep = len(offsets) - (needed - self.max_length)
        if keep < LEAST_TEXT_TOKENS:
            raise PromptError(
                f"row {row}: the prompt needs {needed} tokens where {self.max_length} fit, and its"
                f" text has only {len(offsets)} to give; use fewer shots, a shorter instruction or"
                " a model with a longer context"
            )
        # a character may be several tokens: the one that is cut through goes too
        if self.truncation_side == "left":
            return text[max(offsets[-keep][0], offsets[-keep - 1][1]) :]
        return text[: min(offsets[keep - 1][1], offsets[keep][0])]


@dataclass(frozen=True)
class _Text:
    """A piece of a prompt and the spans of it that came from rows."""

    text: str
    data: list[Span] = field(default_factory=list)

    @classmethod
    def from_row(cls, text: str) -> _Text:
        return cls(text, [(0, len(text))])

    def __add__(self, other: _Text) -> _Text:
        at = len(self.text)
        moved = [(start + at, end + at) for start, end in other.data]
        return _Text(self.text + other.text, self.data + moved)


def _fill(pattern: str, fields: Mapping[str, _Text]) -> _Text:
    filled = _Text("")
    for literal, name, _, _ in Formatter().parse(pattern):
        filled += _Text(literal)
        if name is not None:
            filled += fields[name]
    return filled


def summarize(prompts: Sequence[Prompt]) -> results.Metrics:
    """Metrics of one file of prompts."""
    tokens = [prompt.tokens for prompt in prompts]
    return {
        "rows": len(prompts),
        "rows_cut": sum(prompt.cut for prompt in prompts),
        "prompt_tokens_mean": round(sum(tokens) / len(tokens), 2),
        "prompt_tokens_max": max(tokens),
    }


def write(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write prompts as JSON lines."""
    results.write_lines(path, map(asdict, prompts))


def read(path: Path) -> list[Prompt]:
    """Read prompts that `format_prompts` wrote."""
    return [
        Prompt(**{**row, "data": [(start, end) for start, end in row["data"]]})
        for row in results.read_lines(path)
    ]
