"""What can go wrong, as one tree.

TunebenchError            anything that a user can mend; a stage prints it and exits with 1
├── ParameterError        params.yaml or a command's options: every fault at once
├── SourceError           rows or model files that cannot be read as they are
├── PromptError           a prompt that cannot be made by this template, for this tokenizer
│   └── ContextError      or that no cut of its text makes fit the context
├── TrainingError         a run that cannot go on, with the setting to change
│   └── Diverged          since its loss is no number any more: a result, which others outlive
├── EvaluationError       answers that are no result
└── ServingError          a server that does not start, does not get ready, or ends under load
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class TunebenchError(Exception):
    """A fault with a remedy: the message names the place, the culprit and what to do."""


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
    """A prompt longer than the context, whatever its text is cut to: both counted in tokens."""

    def __init__(self, row: str, needed: int, available: int) -> None:
        self.needed, self.available = needed, available
        super().__init__(
            f"row {row}: with its text cut as far as it may be, prompt and answer need {needed}"
            f" tokens where {available} fit; use fewer shots, a shorter instruction, a greater"
            " max_length or a model with a longer context"
        )


class TrainingError(TunebenchError):
    """A training run that cannot start or go on."""


class Diverged(TrainingError):  # noqa: N818 - an outcome, as its place in the tree says
    """A loss or weights that are no number any more."""

    def __init__(self, step: int, learning_rate: float) -> None:
        self.step, self.learning_rate = step, learning_rate
        super().__init__(f"diverged at step {step}, learning rate {learning_rate:g}")


class EvaluationError(TunebenchError):
    """Answers that are no result: not finite, or not those that were asked for."""


class ServingError(TunebenchError):
    """A server, or the load on it, that cannot start or go on."""


def suggest(name: object, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest choice, or all of them.

    >>> suggest("qlra", ["qlora", "full"])
    "did you mean 'qlora'?"
    >>> suggest("x", ["qlora", "full"])
    'choose from: full, qlora'
    """
    known = sorted(choices)
    near = get_close_matches(str(name), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"choose from: {', '.join(known)}" if known else "there are none"
