"""One training run in this process, from its last complete checkpoint if there is one."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench import disk, paths
from tunebench.errors import Diverged, TrainingError
from tunebench.models import memory, outcomes
from tunebench.training import recording, setup, trackers
from tunebench.training.job import Ended, Job, Outcome

if TYPE_CHECKING:
    from tunebench.training.checkpoints import Checkpoints
    from tunebench.training.trainer import Trainer


def attempt(job: Job) -> Outcome:
    """Train in this process, which may be one of several.

    Raises:
        Ended: if memory runs out, or the loss is NaN.
        TrainingError: if it cannot start or continue.
    """
    from accelerate import PartialState

    from tunebench.training.checkpoints import Checkpoints

    started = perf_counter()
    arguments = setup.arguments(job)  # first: this initializes the process group
    checkpoints = Checkpoints(job.checkpoints, job.identity())
    with PartialState().main_process_first():  # it removes unusable checkpoints
        resumed = checkpoints.last()
    earlier_s = checkpoints.seconds(resumed)
    setup.import_libraries(job, arguments.report_to)
    phase = memory.Phase.start()
    trainer = None
    try:
        with trackers.reporting(job, arguments.report_to):
            trainer = setup.trainer(
                job, arguments, checkpoints, lambda: earlier_s + perf_counter() - loaded
            )
            loaded = perf_counter()
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
            trained = perf_counter()
            validated = recording.validation_loss(trainer)
    except Diverged as error:
        raise Ended(outcomes.diverged(error), _history(trainer)) from None
    except Exception as error:
        if memory.is_exhausted(error):
            raise Ended(outcomes.out_of_memory(), _history(trainer)) from None
        if disk.is_full(error):
            raise _full(job, checkpoints, trainer) from error
        raise
    saving = perf_counter()
    _write(job, trainer, checkpoints)
    spans = {
        "load_s": loaded - started,
        "train_s": earlier_s + trained - loaded,
        "save_s": perf_counter() - saving,
    }
    measured = recording.metrics(trainer, job.output, spans, phase.metrics()) | validated
    return Outcome({"rows": job.rows} | measured, _history(trainer))


def _write(job: Job, trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Write the trained model, and remove an older run's files, which would be loaded with it."""
    main = trainer.is_world_process_zero()
    if main:
        shutil.rmtree(job.output, ignore_errors=True)
    setup.save(trainer, nullcontext(job.output))
    if main and paths.epochs(job.checkpoints).exists():
        # copied, not moved: a run that is killed here can still resume
        shutil.copytree(paths.epochs(job.checkpoints), paths.epochs(job.output))
    if main:
        checkpoints.remove()


def _full(job: Job, checkpoints: Checkpoints, trainer: Trainer | None) -> TrainingError:
    checkpoints.remove_unfinished()
    weights = (
        [weight for weight in trainer.model.parameters() if weight.requires_grad] if trainer else []
    )
    needed = 3 * sum(weight.nbytes for weight in weights)  # with Adam's two moments
    free = shutil.disk_usage(job.checkpoints).free
    return TrainingError(
        f"{job.name}: the disk is full while saving: {free / 1e9:.2g} GB are free now at"
        f" {job.checkpoints}, and a checkpoint takes about {needed / 1e9:.2g} GB. Free some and"
        " run again: it resumes from the last complete checkpoint"
    )


def _history(trainer: Trainer | None) -> list[dict[str, Any]]:
    return recording.history(trainer.state.log_history) if trainer else []
