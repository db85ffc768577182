"""The only training loop: `transformers.Trainer` over the completions of formatted prompts.

- `job`: one run, its inputs and its outcome
- `attempt`: one run in this process
- `setup`: a Trainer for a run: its model, its batches, its callbacks
- `trainer`: `transformers.Trainer`, with this project's additions
- `callbacks`, `history`, `checkpoints`: what it logs, and where it resumes
- `trackers`: where `report_to` writes
- `precision`, `logits`, `packing`: memory and speed
- `adalora`: a method that needs code in the loop
- `recording`, `flops`: the metrics of a run, and its MFU and HFU
- `search`: hyperparameters chosen on validation rows
- `launch`, `process`, `worker`, `sharding`, `batch_size`: distributed training
"""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from tunebench import paths, results
from tunebench.config.options import OwnTraining
from tunebench.models import outcomes
from tunebench.training import batch_size, launch, search
from tunebench.training.attempt import attempt
from tunebench.training.job import Ended, Job, Outcome

log = logging.getLogger(__name__)

__all__ = ["Job", "Outcome", "train", "write_history"]


def train(job: Job) -> Outcome:
    """Train, write the adapter (or the full model) to `job.output`, and measure.

    A killed run resumes from its last complete checkpoint, if nothing that it depends on has
    changed, and ends with the same weights as an uninterrupted one. With `auto_find_batch_size`, a
    batch that does not fit in memory is split, and gradients are accumulated over the parts. With
    `launch` several processes train together. With `search` in its method each trial is trained,
    see `search`.

    Raises:
        TrainingError: if it cannot start or continue.
    """
    return search.train(job, _train_once) if job.method.search else _train_once(job)


def _train_once(job: Job) -> Outcome:
    """Train without a search; `machine_s` is what that took, however it ended.

    It is wall-clock time: of several devices, of batches that did not fit, and of a killed run up
    to the checkpoint that it resumes from.
    """
    from tunebench.training.checkpoints import Checkpoints

    started = perf_counter()
    checkpoints = Checkpoints(job.checkpoints, job.identity())
    earlier_s = checkpoints.seconds(checkpoints.last())
    outcome = _train_in_memory(job)
    machine_s = results.rounded(earlier_s + perf_counter() - started)
    return replace(outcome, metrics=outcome.metrics | {"machine_s": machine_s})


def _train_in_memory(job: Job) -> Outcome:
    """Train, with smaller batches if memory ran out and the settings allow that."""
    launched = launch.requested(job.settings)
    try:
        return launch.train(job, launched) if launched else attempt(job)
    except Ended as ended:
        metrics, history = ended.metrics, ended.history
    # after the except clause, which would keep the model in memory
    gc.collect()
    if metrics.get("out_of_memory") and (smaller := _with_smaller_batches(job)):
        return _train_in_memory(smaller)
    shutil.rmtree(job.output, ignore_errors=True)
    results.write(paths.failure(job.output), metrics)
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    log.warning("%s: %s. Other runs continue.", job.name, outcomes.message(metrics))
    return Outcome({"rows": job.rows} | metrics, history)


def _with_smaller_batches(job: Job) -> Job | None:
    """The same job with smaller batches and more accumulation; None if that is not possible."""
    _, arguments = OwnTraining.part(job.settings)
    batch = arguments.get("per_device_train_batch_size", batch_size.DEFAULT)
    if not arguments.get("auto_find_batch_size") or batch == 1:
        return None
    parts = next(parts for parts in range(2, batch + 1) if batch % parts == 0)
    steps = arguments.get("gradient_accumulation_steps", 1)
    smaller = {
        "per_device_train_batch_size": batch // parts,
        "gradient_accumulation_steps": steps * parts,
    }
    return replace(job, settings={**job.settings, **smaller})


def write_history(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's loss history again, as it was during training."""
    from tunebench.training import history

    history.write(folder, entries)
