"""The only training loop: `transformers.Trainer` over the completions of formatted prompts."""

from __future__ import annotations

import gc
import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from tunebench import memory, models, outcomes, paths, results
from tunebench.config.options import Options, OwnTraining
from tunebench.config.schema import TuningMethod
from tunebench.errors import Diverged, TrainingError
from tunebench.prompts import Prompt
from tunebench.training import launch, recording, search, setup

if TYPE_CHECKING:
    from tunebench.training.checkpoints import Checkpoints
    from tunebench.training.trainer import Trainer


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


def train(job: Job) -> Outcome:
    """Train, write the adapter (or the whole model) to `job.output`, and measure.

    A run that was killed goes on from its last whole checkpoint, if nothing that it depends on has
    changed since, and ends in the same weights as one that was not. With `auto_find_batch_size` a
    batch that does not fit is halved, and gradients are summed over twice as many: the same
    training in smaller parts. With `launch` several processes train together; with `search` in its
    method each trial is trained, see `search`.

    Raises:
        TrainingError: if it can not start, or go on.
    """
    return search.train(job, _train_once) if job.method.search else _train_once(job)


def _train_once(job: Job) -> Outcome:
    launched = launch.asked(job.settings)
    try:
        return launch.train(job, launched) if launched else attempt(job)
    except Ended as ended:
        metrics, history = ended.metrics, ended.history
    # past the except clause, which would keep the model in memory
    gc.collect()
    if metrics.get("out_of_memory") and (smaller := _in_smaller_parts(job)):
        return _train_once(smaller)
    shutil.rmtree(job.output, ignore_errors=True)
    results.write(paths.failure(job.output), metrics)
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    print(f"{job.name}: {outcomes.message(metrics)}. Other runs go on.", file=sys.stderr)
    return Outcome({"rows": job.rows} | metrics, history)


def attempt(job: Job) -> Outcome:
    """Train in this process, which may be one of several that all do the same.

    Raises:
        Ended: if memory ends, or the loss is no number any more.
        TrainingError: if it can not start, or go on.
    """
    from accelerate import PartialState

    from tunebench.training.checkpoints import Checkpoints, is_full_disk

    started = perf_counter()
    arguments = setup.arguments(job)  # first: they bring the processes together
    kept = Checkpoints(job.checkpoints, job.identity())
    with PartialState().main_process_first():  # which removes what is of no use
        resumed = kept.last()
    earlier_s = kept.seconds(resumed)
    trainer = None
    try:
        trainer = setup.trainer(job, arguments, kept, lambda: earlier_s + perf_counter() - loaded)
        loaded = perf_counter()
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        trained = perf_counter()
        validated = recording.validation_loss(trainer)
    except Diverged as error:
        raise Ended(outcomes.diverged(error), _history(trainer)) from None
    except Exception as error:
        if memory.has_ended(error):
            raise Ended(outcomes.out_of_memory(), _history(trainer)) from None
        if is_full_disk(error):
            raise _full(job, kept, trainer) from error
        raise
    saving = perf_counter()
    _write(job, trainer, kept)
    spans = {
        "load_s": loaded - started,
        "train_s": earlier_s + trained - loaded,
        "save_s": perf_counter() - saving,
    }
    measured = recording.metrics(trainer, job.output, spans) | validated
    return Outcome({"rows": job.rows} | measured, _history(trainer))


def _write(job: Job, trainer: Trainer, kept: Checkpoints) -> None:
    """What was trained, in the place of an older run's files, which would be loaded with ours."""
    main = trainer.is_world_process_zero()
    if main:
        shutil.rmtree(job.output, ignore_errors=True)
    setup.save(trainer, nullcontext(job.output))
    if main and paths.epochs(job.checkpoints).exists():
        # copied: a kill before the checkpoints are gone would otherwise leave none to go on with
        shutil.copytree(paths.epochs(job.checkpoints), paths.epochs(job.output))
    if main:
        kept.remove()


def _in_smaller_parts(job: Job) -> Job | None:
    """The same training in smaller batches, where `auto_find_batch_size` allows and it can be."""
    _, arguments = OwnTraining.part(job.settings)
    batch = arguments.get("per_device_train_batch_size", launch.DEFAULT_BATCH_SIZE)
    if not arguments.get("auto_find_batch_size") or batch == 1:
        return None
    parts = next(parts for parts in range(2, batch + 1) if batch % parts == 0)
    steps = arguments.get("gradient_accumulation_steps", 1)
    smaller = {
        "per_device_train_batch_size": batch // parts,
        "gradient_accumulation_steps": steps * parts,
    }
    return replace(job, settings={**job.settings, **smaller})


def _full(job: Job, kept: Checkpoints, trainer: Trainer | None) -> TrainingError:
    kept.remove_unfinished()
    weights = (
        [weight for weight in trainer.model.parameters() if weight.requires_grad] if trainer else []
    )
    needed = 3 * sum(weight.nbytes for weight in weights)  # with Adam's two moments
    free = shutil.disk_usage(job.checkpoints).free
    return TrainingError(
        f"{job.name}: the disk is full while saving: {free / 1e9:.2g} GB are free now at"
        f" {job.checkpoints}, and a checkpoint takes about {needed / 1e9:.2g} GB. Free some and"
        " run again: it goes on from the last whole checkpoint"
    )


def _history(trainer: Trainer | None) -> list[dict[str, Any]]:
    return recording.history(trainer.state.log_history) if trainer else []


def write_history(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's loss history, as it was written while it trained."""
    from tunebench.training import history

    history.write(folder, entries)
