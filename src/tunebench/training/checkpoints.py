"""Where a killed run goes on: its last whole checkpoint, if all that it depends on is the same."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from tunebench import results

log = logging.getLogger(__name__)

JOB = "job.json"
WHOLE = "whole.json"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in `folder`.

    `identity` is everything that decides what training makes: settings, rows, versions. The Trainer
    writes a checkpoint file by file; `whole.json` lists them with their sizes when all are there,
    and only then is an older one removed.
    """

    folder: Path
    identity: Mapping[str, Any]

    def last(self) -> Path | None:
        """The newest whole checkpoint of this very run; all others are removed."""
        if _read(self.folder / JOB) != self.identity:
            if any(self.folder.glob("checkpoint-*")):
                log.warning(
                    "%s: checkpoints of other settings, rows or versions; removed", self.folder
                )
            self.remove()
            results.write(self.folder / JOB, self.identity)
        for checkpoint in self._newest_first():
            fault = _fault(checkpoint)
            if fault is None:
                return checkpoint
            log.warning("%s: %s; removed", checkpoint, fault)
            shutil.rmtree(checkpoint)
        return None

    def complete(self, step: int, *, seconds: float, keep: int, best: str | None) -> None:
        """Note that a step's checkpoint is whole, and remove all but the newest.

        Args:
            seconds: of training so far.
            keep: how many stay.
            best: one that stays in any case, as `load_best_model_at_end` needs it.
        """
        checkpoint = self.folder / f"checkpoint-{step}"
        results.write(checkpoint / WHOLE, {"seconds": seconds, "files": _sizes(checkpoint)})
        found = self._newest_first()
        stay = [path for path in found if (path / WHOLE).exists()][:keep]
        stay += [path for path in found if best and path.resolve() == Path(best).resolve()]
        for older in found:
            if older not in stay and _step(older) < step:
                (older / WHOLE).unlink(missing_ok=True)  # first: a kill may leave a part of it
                shutil.rmtree(older)

    def seconds(self, checkpoint: Path | None) -> float:
        """Seconds of training that went into a checkpoint."""
        return float(_read(checkpoint / WHOLE)["seconds"]) if checkpoint else 0.0

    def remove_unfinished(self) -> None:
        """Remove what a failed save left, so that its room is free again."""
        for checkpoint in self._newest_first():
            if not (checkpoint / WHOLE).exists():
                shutil.rmtree(checkpoint)

    def remove(self) -> None:
        """Remove everything."""
        (self.folder / JOB).unlink(missing_ok=True)  # first: the rest is then no run's
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        found = [path for path in self.folder.glob("checkpoint-*") if path.is_dir()]
        return sorted(found, key=_step, reverse=True)


class CompleteCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Tells `Checkpoints` when the Trainer has written one."""

    def __init__(self, checkpoints: Checkpoints, seconds: Callable[[], float], keep: int) -> None:
        self._checkpoints, self._seconds, self._keep = checkpoints, seconds, keep

    def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Called when a process has written its last file."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            self._checkpoints.complete(
                state.global_step,
                seconds=self._seconds(),
                keep=self._keep,
                best=state.best_model_checkpoint,
            )


def is_full_disk(error: BaseException) -> bool:
    """Whether a file could not be written for want of room; each library says so in its way."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(
        text in str(error)
        for text in ("No space left on device", "PytorchStreamWriter failed", "unexpected pos")
    )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _fault(checkpoint: Path) -> str | None:
    whole = _read(checkpoint / WHOLE)
    if whole is None:
        return "was cut off while it was written"
    there = _sizes(checkpoint)
    for name, size in whole["files"].items():
        if there.get(name) != size:
            return f"{name} has {there.get(name, 0)} bytes where {size} were written"
    return None


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != WHOLE)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
