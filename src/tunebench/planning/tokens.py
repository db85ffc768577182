"""How long a data set's prompts and answers are in a model's tokens, from a sample of its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from tunebench import results
from tunebench.config.data import Dataset, Template
from tunebench.config.schema import Params, PromptingMethod
from tunebench.errors import PromptError, SourceError
from tunebench.init import lengths
from tunebench.paths import PLAN
from tunebench.planning.rows import Rows

REMEMBERED = PLAN / "tokens.json"
# of a data set whose rows are not here
ASSUMED_TEXT, ASSUMED_SUMMARY, ASSUMED_LABEL = 256, 48, 4
MEASURED = 60  # rows
TAIL = 0.99
QUANTILES = 32


@dataclass(frozen=True)
class Tokens:
    """Tokens of prompts and answers, on average.

    `text` are those of the text alone, `labels` those of all labels together, scored after one
    prompt. `prompts` has quantiles of their lengths, evenly spaced. `known` is false where rows
    were not to be had, `exact` where no tokenizer was.
    """

    prompt: float
    text: float
    prompts: tuple[int, ...]
    answer: float
    longest_answer: int
    labels: int
    known: bool = True
    exact: bool = True

    @property
    def row(self) -> float:
        """Of prompt and answer, on average."""
        return self.prompt + self.answer

    def longest_prompt(self, rows: int) -> int:
        """Of the longest of so many prompts, as is to be expected."""
        last = len(self.prompts) - 1
        return self.prompts[round(last * rows / (rows + 1))]

    def at_most(self, limit: int | None) -> Tokens:
        """Cut to a length of prompt and answer together."""
        if not limit:
            return self
        room = max(1, limit - self.longest_answer)
        return replace(
            self,
            prompt=fmean(min(prompt, room) for prompt in self.prompts),
            text=min(self.text, room),
            prompts=tuple(min(prompt, room) for prompt in self.prompts),
        )


class TokenCounter:
    """Tokens of each model and data set, remembered from one plan to the next.

    Args:
        quickly: measure none that are not remembered, which takes a second, but estimate them.
    """

    def __init__(self, params: Params, *, quickly: bool) -> None:
        self.params, self.quickly = params, quickly
        self.remembered: dict[str, Any] = results.earlier(REMEMBERED) or {}
        self._bases: dict[str, lengths.Base] = {}

    def of(self, model: str, name: str, rows: Rows, method: PromptingMethod | None) -> Tokens:
        """Tokens of one model's prompts, with a prompting method's own template and examples.

        The limits of context and `max_length` hold already.
        """
        dataset = self.params.datasets[name]
        shots = method.shots if method else 0
        shown = self.params.templates[(method and method.template) or dataset.template]
        instruction = dataset.instruction
        if method and method.instruction is not None:
            instruction = method.instruction
        key = _key(self.params.models[model], dataset, shown, instruction, shots, rows)
        if key in self.remembered:
            return _read(self.remembered[key])
        if not rows.sample:
            return _assumed(dataset, shots)
        found = self._measure(self._base(model), shown, rows, instruction, shots)
        if not self.quickly:
            self.remembered[key] = vars(found)
        return found

    def save(self) -> None:
        """Remember what was measured, for the next plan."""
        if self.remembered:
            results.write(REMEMBERED, self.remembered)

    def _base(self, name: str) -> lengths.Base:
        if name not in self._bases:
            model = self.params.models[name]
            unknown = lengths.Base(name, where=str(model.path or model.hub))
            try:
                self._bases[name] = unknown if self.quickly else lengths.base(name, model)
            except SourceError:
                self._bases[name] = unknown
        return self._bases[name]

    def _measure(
        self, base: lengths.Base, shown: Template, rows: Rows, instruction: str, shots: int
    ) -> Tokens:
        sample = rows.sample[:MEASURED]
        try:
            return _measured(base, shown, sample, rows.labels, instruction, shots)
        except (PromptError, KeyError):  # `format_prompts` says what is wrong with the template
            unknown = lengths.Base(base.name, where=base.where)
            return _measured(unknown, shown, sample, rows.labels, instruction, shots)


def _measured(
    base: lengths.Base,
    shown: Template,
    sample: Sequence[dict[str, str]],
    labels: Sequence[str],
    instruction: str,
    shots: int,
) -> Tokens:
    measured = lengths.measure(base, shown, sample, instruction=instruction, labels=labels)
    prompts, answers = measured.prompts, measured.answers
    if shots:
        prompts = (
            lengths.with_shots(base, shown, sample, instruction=instruction, shots=shots) or prompts
        )
    return Tokens(
        prompt=fmean(prompts),
        text=fmean(measured.texts),
        prompts=tuple(
            lengths.percentile(prompts, part / QUANTILES) for part in range(QUANTILES + 1)
        ),
        answer=fmean(answers),
        longest_answer=lengths.percentile(answers, TAIL),
        labels=sum(answers) if labels else 0,
        exact=base.tokenizer is not None,
    )


def _assumed(dataset: Dataset, shots: int) -> Tokens:
    answer = ASSUMED_LABEL if dataset.labelled else ASSUMED_SUMMARY
    prompt = ASSUMED_TEXT * (1 + shots)
    return Tokens(
        prompt=prompt,
        text=ASSUMED_TEXT,
        prompts=(prompt // 4, prompt // 2, prompt, 3 * prompt // 2, 2 * prompt),
        answer=answer,
        longest_answer=answer,
        labels=10 * ASSUMED_LABEL if dataset.labelled else 0,
        known=False,
        exact=False,
    )


def _read(values: dict[str, Any]) -> Tokens:
    return Tokens(**values | {"prompts": tuple(values["prompts"])})


def _key(*parts: Any) -> str:
    """A digest of all that token counts depend on."""
    written = [
        part.model_dump(mode="json") if hasattr(part, "model_dump") else part for part in parts[:-1]
    ]
    rows: Rows = parts[-1]
    text = json.dumps([written, rows.sample[:MEASURED], rows.labels], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
