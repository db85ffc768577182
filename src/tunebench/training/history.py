"""A run's loss at each logged step, written by dvclive during training, for `dvc plots`.

Only dvclive's `log_metric` is used. `next_step` would read all curves again at each step, and write
a `metrics.json` that `dvc plots` fails on; `end` would add the folder to Git's index.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tunebench.training import recording

if TYPE_CHECKING:
    from dvclive import Live

# named as by dvclive's own callback for the Trainer
NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "eval_loss": "eval/loss",
}


def write(folder: Path, entries: Iterable[Mapping[str, Any]]) -> Live:
    """Write a history, replacing an earlier one: a file of steps and values for each metric.

    Returns:
        the `Live` that further entries are logged to.
    """
    os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")  # send nothing, even with a token
    from dvclive import Live

    live = Live(str(folder), save_dvc_exp=False, dvcyaml=None)
    losses = folder / "plots" / "metrics" / "train" / "loss.tsv"
    losses.parent.mkdir(parents=True)
    losses.write_text("step\tloss\n")  # so that it exists even if no step is logged
    for entry in entries:
        _log(live, entry)
    return live


def _log(live: Live, entry: Mapping[str, Any]) -> None:
    live.step = entry["step"]
    for name, metric in NAMES.items():
        if name in entry:
            live.log_metric(metric, entry[name])


class LiveHistory(TrainerCallback):  # type: ignore[misc]
    """Writes the history during training; a resumed run first restores its earlier entries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live: Live | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start a new history, with the entries of the checkpoint."""
        if state.is_world_process_zero:
            self._live = write(self._folder, recording.history(state.log_history))

    def on_log(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Add the latest entry."""
        if self._live is not None:
            for entry in recording.history(state.log_history[-1:]):
                _log(self._live, entry)
