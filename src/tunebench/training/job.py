"""One training run: what it is given, and what comes out."""

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
    """One run: what to train on, how, and where its files go.

    `name` stands in messages; `settings` are TrainingArguments fields and `loss_on`, already merged
    for this run. `history` is where the loss is written while it trains.
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
        """Everything but the rows that decides what comes out."""
        return {
            "model": self.base.described(),
            "method": self.method,
            "training": self.settings,
            "seed": self.seed,
        }

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run to be its own."""
        rows = repr([(prompt.prompt, prompt.completion, prompt.split) for prompt in self.prompts])
        return {
            "prompts": hashlib.sha256(rows.encode()).hexdigest(),
            "libraries": results.library_versions(),
            **to_jsonable_python(self.described()),
        }


@dataclass(frozen=True)
class Outcome:
    """Metrics of a run and its loss at each logged step.

    Where memory ended or the loss did, the metrics say so, and there is no model.
    """

    metrics: results.Metrics
    history: list[dict[str, Any]]
    chosen: Options = field(default_factory=dict)  # the settings that a search found


class Ended(Exception):  # noqa: N818 - no fault, an outcome
    """Training that ended without a model."""

    def __init__(self, metrics: results.Metrics, history: list[dict[str, Any]]) -> None:
        self.metrics, self.history = metrics, history
