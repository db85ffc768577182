"""What the options of `tunebench init` decide; what is None is proposed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answers:
    """One field for each option; lists are as on the command line, between commas."""

    file: str
    name: str | None = None
    model: str | None = None
    task: str | None = None
    text: str | None = None
    label: str | None = None
    summary: str | None = None
    test: str | None = None
    validation: str | None = None
    template: str | None = None
    instruction: str | None = None
    prompting: str | None = None
    tuning: str | None = None
    train_sizes: str | None = None
    seeds: str | None = None
    test_rows: int | None = None
    validation_rows: int | None = None
    max_length: int | None = None
    batch_size: int | None = None
    label_names: str | None = None
    labels: str | None = None
    encoding: str | None = None
    quoting: str | None = None

    @property
    def path(self) -> str | dict[str, str]:
        """`path` of the data set: the file or folder, or a file for each split."""
        others = {"validation": self.validation, "test": self.test}
        given = {split: path for split, path in others.items() if path is not None}
        return {"train": self.file, **given} if given else self.file

    @property
    def reading(self) -> dict[str, Any]:
        """The data set's keys that say how its files are read."""
        options = {"encoding": self.encoding, "quoting": self.quoting}
        return {"path": self.path} | {key: text for key, text in options.items() if text}


def listed(text: str) -> list[str]:
    """The parts of an option's list.

    >>> listed("zero_shot, few_shot")
    ['zero_shot', 'few_shot']
    """
    return [part.strip() for part in text.split(",") if part.strip()]
