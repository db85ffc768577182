"""Prompts and completions, and their tokenization.

- `tokenization`: text to tokens, so that a row's text never becomes a control token
- `tokenizer_files`: the tokenizer in a model's folder, without code of its own
- `control_tokens`: which of a tokenizer's tokens are control tokens
- `encoding`: the tokens of a prompt and of each of its answers, for everything that runs a model
- `batching`: prompts as tensors, padded, in batches of similar length
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from tunebench import results
from tunebench.errors import SourceError
from tunebench.prompts.tokenization import MarkedText, Span


@dataclass(frozen=True)
class Prompt:
    """One row as the model sees it.

    `data` has the character spans of `prompt` that came from rows, which are never tokenized to
    control tokens. `completion` is the training target, including the template's text around the
    answer; `answer` is the answer's span in it, all of it if None. `label` is the label's name,
    None for summarization. `begin` is that of `tokenization.MarkedText`. `tokens` is the prompt's
    length, and `cut` whether its text was truncated. `answer_tokens` are reserved for the answer
    with the template's text around it; they are the same for all prompts of a file. `draw` counts
    the draws of solved examples.
    """

    id: str
    prompt: str
    completion: str
    label: str | None = None
    split: str = "test"
    data: list[Span] = field(default_factory=list)
    answer: Span | None = None
    begin: bool = True
    tokens: int = 0
    cut: bool = False
    answer_tokens: int = 0
    draw: int = 0

    @property
    def marked_prompt(self) -> MarkedText:
        """The prompt, to be tokenized."""
        return MarkedText(self.prompt, self.data, self.begin)

    @property
    def marked_completion(self) -> MarkedText:
        """The completion, to be tokenized."""
        return MarkedText(self.completion, [self._answer_span])

    @property
    def gold(self) -> str:
        """The gold answer: a label's name or a text."""
        start, end = self._answer_span
        return self.completion[start:end]

    @property
    def lead(self) -> str:
        """What the template writes before an answer."""
        return self.completion[: self._answer_span[0]]

    @property
    def tail(self) -> str:
        """What the template writes after an answer, up to its end-of-turn token."""
        return self.completion[self._answer_span[1] :]

    def completed_with(self, text: str) -> MarkedText:
        """The completion with another answer, without the tail."""
        return MarkedText(self.lead) + MarkedText.from_row(text)

    @property
    def _answer_span(self) -> Span:
        return (0, len(self.completion)) if self.answer is None else self.answer


@dataclass(frozen=True)
class DoesNotFit:
    """A prompting method whose examples leave no room for the text: a result, not a fault."""

    tokens_needed: int
    tokens_available: int

    def metrics(self) -> results.Metrics:
        """The metrics of a run that has no score or timing for this reason."""
        return {"does_not_fit": True} | asdict(self)


def summarize(prompts: Iterable[Prompt | DoesNotFit]) -> results.Metrics:
    """Metrics of one file of prompts; they are those of `DoesNotFit` if one is among them."""
    rows = rows_cut = tokens = tokens_max = draws = 0
    for prompt in prompts:
        if isinstance(prompt, DoesNotFit):
            return prompt.metrics()
        rows += 1
        rows_cut += prompt.cut
        tokens += prompt.tokens
        tokens_max = max(tokens_max, prompt.tokens)
        draws = 1 + prompt.draw
    return {
        "rows": rows // draws,
        **({"draws": draws} if draws > 1 else {}),
        "rows_cut": rows_cut,
        "prompt_tokens_mean": round(tokens / rows, 2),
        "prompt_tokens_max": tokens_max,
    }


def write(path: Path, prompts: Iterable[Prompt | DoesNotFit]) -> results.Metrics:
    """Write prompts as JSON lines as they are made, and summarize them.

    `DoesNotFit` among them stands in the file alone, and says why there are no prompts.
    """
    with results.replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        return summarize(_written(file, prompts))


def _written(file: TextIO, prompts: Iterable[Prompt | DoesNotFit]) -> Iterator[Prompt | DoesNotFit]:
    """The prompts, each written before the next one is made."""
    for prompt in prompts:
        line: dict[str, Any] = vars(prompt)
        if isinstance(prompt, DoesNotFit):
            file.seek(0)
            file.truncate()
            line = {"does_not_fit": line}
        file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        yield prompt


def read(path: Path) -> list[Prompt] | DoesNotFit:
    """Read what `format_prompts` wrote, with the first draw of solved examples.

    Raises:
        SourceError: if the file is not there, is damaged, or holds nothing.
    """
    draws = read_draws(path)
    return draws if isinstance(draws, DoesNotFit) else draws[0]


def read_draws(path: Path) -> list[list[Prompt]] | DoesNotFit:
    """Read what `format_prompts` wrote: the same rows with each draw of solved examples.

    Raises:
        SourceError: if the file is not there, is damaged, or holds nothing.
    """
    rows = results.read_lines(path)
    if not rows:
        raise SourceError(f"{path}: holds no prompts; remove it and run `dvc repro`")
    try:
        if "does_not_fit" in rows[0]:
            return DoesNotFit(**rows[0]["does_not_fit"])
        for row in rows:
            row["data"] = [(start, end) for start, end in row["data"]]
            row["answer"] = tuple(row["answer"])
        draws = groupby((Prompt(**row) for row in rows), key=lambda prompt: prompt.draw)
        return [list(prompts) for _, prompts in draws]
    except (KeyError, TypeError, ValueError):
        raise SourceError(
            f"{path}: holds lines that are no prompts; remove it and run `dvc repro`"
        ) from None


def read_subset(path: Path) -> list[Prompt]:
    """Read what `format_prompts` wrote for a training subset, which has no solved examples.

    Raises:
        SourceError: if the file is not there, or holds nothing to train on.
    """
    rows = read(path)
    if isinstance(rows, DoesNotFit):
        raise SourceError(f"{path}: holds no training rows; remove it and run `dvc repro`")
    return rows


def read_split(path: Path, split: str) -> list[Prompt]:
    """One split of what `format_prompts` wrote for a training subset."""
    rows = read(path)
    return [] if isinstance(rows, DoesNotFit) else [row for row in rows if row.split == split]
