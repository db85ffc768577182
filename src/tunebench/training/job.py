"""One training run: its inputs and its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from tunebench import models, results
from tunebench.config.options import Options
from tunebench.config.schema import TuningMethod
from tunebench.prompts import Prompt


@dataclass(frozen=True)
class Job:
    """One run: the model, the method, the training data, and where its files go.

    `name` is for messages. `settings` are TrainingArguments fields and this project's own, merged
    for this run. `history` is the folder that the loss is written to during training.
    """

    name: str
    base: models.Base
    method: TuningMethod
    settings: Options
    seed: int
    prompts: Sequence[Prompt]
    checkpoints: Path
    output: Path
    history: Path | None = None

    @property
    def rows(self) -> int:
        """Training rows."""
        return sum(prompt.split == "train" for prompt in self.prompts)

    def described(self) -> dict[str, Any]:
        """Everything that the outcome depends on, except the rows."""
        return {
            "model": self.base.described(),
            "method": self.method,
            "training": self.settings,
            "seed": self.seed,
        }

    def identity(self) -> dict[str, Any]:
        """Everything that the outcome depends on; a run resumes only if it is unchanged."""
        rows = repr([(prompt.prompt, prompt.completion, prompt.split) for prompt in self.prompts])
        return {
            "prompts": hashlib.sha256(rows.encode()).hexdigest(),
            "libraries": results.library_versions(),
            **to_jsonable_python(self.described()),
        }


@dataclass(frozen=True)
class Outcome:
    """Metrics of a run and its loss at each logged step.

    If memory ran out or the loss became NaN, the metrics say so and there is no model.
    """

    metrics: results.Metrics
    history: list[dict[str, Any]]
    chosen: Options = field(default_factory=dict)  # the settings that a search chose


class Ended(Exception):  # noqa: N818 - no fault, an outcome
    """Training ended without a model."""

    def __init__(self, metrics: results.Metrics, history: list[dict[str, Any]]) -> None:
        self.metrics, self.history = metrics, history
