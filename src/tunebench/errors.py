"""The exceptions, as one tree.

TunebenchError            anything that a user can fix; a stage prints it and exits with 1
├── ParameterError        params.yaml or a command's options: every fault at once
├── SourceError           rows or model files that cannot be read as they are
├── PromptError           a prompt that cannot be made by this template, for this tokenizer
│   └── ContextError      or that does not fit the context, however its text is cut
├── TrainingError         a run that cannot continue, with the setting to change
│   └── Diverged          since its loss is NaN: a result, after which other runs continue
├── EvaluationError       answers that are no result
├── ServingError          a server that does not start, does not get ready, or ends under load
├── ChangedError          parameters or files that changed while a stage ran
├── BusyError             a result that another process is making
└── DiskError             results that cannot be written: a full disk, a read-only folder
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LISTED_NAMES = 100
LONGEST_NAME = 100  # characters


class TunebenchError(Exception):
    """An error with a remedy: the message names the place, the culprit and what to do."""


class ParameterError(TunebenchError):
    """One or more faults in params.yaml; `faults` holds a line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class SourceError(TunebenchError):
    """Rows or model files that are missing, malformed or inconsistent."""


class PromptError(TunebenchError):
    """A prompt that cannot be made: by this template, for this tokenizer, within this context."""


class ContextError(PromptError):
    """A prompt that does not fit the context, however its text is cut; both lengths in tokens."""

    def __init__(self, row: str, needed: int, available: int) -> None:
        self.needed, self.available = needed, available
        super().__init__(
            f"row {row}: with its text cut as far as it may be, prompt and answer need {needed}"
            f" tokens where {available} fit; use fewer shots, a shorter instruction, a greater"
            " max_length or a model with a longer context"
        )


class TrainingError(TunebenchError):
    """A training run that cannot start or continue."""


class Diverged(TrainingError):  # noqa: N818 - an outcome, as its place in the tree says
    """A loss or weights that are NaN or infinite."""

    def __init__(self, step: int, learning_rate: float) -> None:
        self.step, self.learning_rate = step, learning_rate
        super().__init__(f"diverged at step {step}, learning rate {learning_rate:g}")


class EvaluationError(TunebenchError):
    """Answers or losses that cannot be used: not finite, missing, or of other rows."""


class ServingError(TunebenchError):
    """A server, or the load on it, that cannot start or continue."""


class ChangedError(TunebenchError):
    """Parameters or files that changed while a stage ran, so that its result is of neither."""


class BusyError(TunebenchError):
    """A result that another process is making."""

    def __init__(self, output: str, holder: str) -> None:
        super().__init__(
            f"{output}: process {holder} is writing it; wait until that has ended, or end it:"
            f" kill {holder}"
        )


class DiskError(TunebenchError):
    """Results that cannot be written: a full disk, a read-only folder."""


def suggest(name: object, choices: Iterable[str]) -> str:
    """The remedy in a message about an unknown name: the nearest choice, or all of them.

    >>> suggest("qlra", ["qlora", "full"])
    "did you mean 'qlora'?"
    >>> suggest("x", ["qlora", "full"])
    'choose from: full, qlora'
    """
    names = sorted(choices)
    matches = get_close_matches(str(name), names, n=1)
    if matches:
        return f"did you mean {matches[0]!r}?"
    rest = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    listed = ", ".join(map(_in_short, names[:LISTED_NAMES]))
    return f"choose from: {listed}{rest}" if names else "there are none"


def _in_short(name: str) -> str:
    """A name in one short line; those of columns may be texts of several."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
