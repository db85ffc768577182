"""The only training loop: `transformers.Trainer` over the completions of formatted prompts.

- `job`: one run, what it is given and what comes out
- `attempt`: one run in this process
- `setup`: a Trainer for a run: its model, its batches, its callbacks
- `trainer`: `transformers.Trainer`, with what this project adds
- `callbacks`, `history`, `checkpoints`: what it logs, and where it resumes
- `precision`, `logits`, `packing`: memory and speed
- `adalora`: a method that needs code in the loop
- `recording`, `flops`: what a run cost, and its MFU
- `search`: settings chosen on validation rows
- `launch`, `process`, `worker`, `sharding`, `batch_size`: several processes that train together
"""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
    log.warning("%s: %s. Other runs go on.", job.name, outcomes.message(metrics))
    return Outcome({"rows": job.rows} | metrics, history)


def _in_smaller_parts(job: Job) -> Job | None:
    """The same training in smaller batches, where `auto_find_batch_size` allows and it can be."""
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
    """Write a run's loss history, as it was written while it trained."""
    from tunebench.training import history

    history.write(folder, entries)
