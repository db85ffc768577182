"""Callbacks of the Trainer: logging, a folder for each epoch, a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import ceil
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from tunebench import results
from tunebench.progress import bar


class LogAtCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Log the loss with each checkpoint and at the end.

    When it resumes, the Trainer has lost the losses since its last log. Logging at each checkpoint
    gives a killed run the loss history of an uninterrupted one.
    """

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log before a checkpoint between epochs, and after the last step."""
        control.should_log |= control.should_save or state.global_step >= state.max_steps

    def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        """Log before a checkpoint at the end of an epoch."""
        control.should_log |= control.should_save


class KeepEpochs(TrainerCallback):  # type: ignore[misc]
    """Save the model after each epoch, in a folder named by the epoch's number.

    The Trainer calls `on_epoch_end` before it writes the checkpoint, so a run that resumes from a
    checkpoint has every epoch before it.
    """

    def __init__(self, folder: Path, save: Callable[[AbstractContextManager[Path]], None]) -> None:
        self._folder, self._save = folder, save

    def on_epoch_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Save; the last epoch may be fractional, as in `num_train_epochs: 2.5`."""
        self._save(results.replacing_folder(self._folder / str(ceil(state.epoch))))


class TrainingBar(TrainerCallback):  # type: ignore[misc]
    """One progress bar with the latest loss, in place of a line for each logged step."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Open the bar, at the step from which the run resumes."""
        self._bar = bar(total=state.max_steps, unit="step")
        self._bar.update(state.global_step)

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Show the loss."""
        if self._bar is not None and logs and "loss" in logs:
            self._bar.set_postfix_str(f"loss {float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
