"""Where a killed run resumes: its last complete checkpoint, if its inputs are unchanged."""

from __future__ import annotations

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
COMPLETE = "whole.json"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in `folder`.

    `identity` is everything that the trained weights depend on: settings, rows, versions. The
    Trainer writes a checkpoint file by file. When all files are there, `whole.json` lists them with
    their sizes, and only then is an older checkpoint removed.
    """

    folder: Path
    identity: Mapping[str, Any]

    def last(self) -> Path | None:
        """The newest complete checkpoint with this `identity`; unusable ones are removed."""
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
        """Mark a step's checkpoint as complete, and remove all but the newest.

        Args:
            seconds: of training so far.
            keep: how many are kept.
            best: one that is kept in any case, for `load_best_model_at_end`.
        """
        checkpoint = self.folder / f"checkpoint-{step}"
        results.write(checkpoint / COMPLETE, {"seconds": seconds, "files": _sizes(checkpoint)})
        checkpoints = self._newest_first()
        kept = [path for path in checkpoints if (path / COMPLETE).exists()][:keep]
        kept += [path for path in checkpoints if best and path.resolve() == Path(best).resolve()]
        for older in checkpoints:
            if older not in kept and _step(older) < step:
                (older / COMPLETE).unlink(missing_ok=True)  # first: a kill may leave it incomplete
                shutil.rmtree(older)

    def seconds(self, checkpoint: Path | None) -> float:
        """Seconds of training up to a checkpoint."""
        return float(_read(checkpoint / COMPLETE)["seconds"]) if checkpoint else 0.0

    def remove_unfinished(self) -> None:
        """Remove incomplete checkpoints, to free disk space after a failed save."""
        for checkpoint in self._newest_first():
            if not (checkpoint / COMPLETE).exists():
                shutil.rmtree(checkpoint)

    def remove(self) -> None:
        """Remove everything."""
        (self.folder / JOB).unlink(
            missing_ok=True
        )  # first: without it no run resumes from the rest
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        checkpoints = [path for path in self.folder.glob("checkpoint-*") if path.is_dir()]
        return sorted(checkpoints, key=_step, reverse=True)


class CompleteCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Tells `Checkpoints` when the Trainer has written one."""

    def __init__(self, checkpoints: Checkpoints, seconds: Callable[[], float], keep: int) -> None:
        self._checkpoints, self._seconds, self._keep = checkpoints, seconds, keep

    def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Called when this process has written its files."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            self._checkpoints.complete(
                state.global_step,
                seconds=self._seconds(),
                keep=self._keep,
                best=state.best_model_checkpoint,
            )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _fault(checkpoint: Path) -> str | None:
    manifest = _read(checkpoint / COMPLETE)
    if manifest is None:
        return "was cut off while it was written"
    sizes = _sizes(checkpoint)
    for name, size in manifest["files"].items():
        if sizes.get(name) != size:
            return f"{name} has {sizes.get(name, 0)} bytes where {size} were written"
    return None


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != COMPLETE)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
