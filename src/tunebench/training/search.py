"""A method's own settings, found on validation rows: each one trained alike, the best one kept.

The order of methods in a table hangs on their learning rates as much as on the methods: so each
gets the same chance, on the same training rows, and what the search cost is counted.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from tunebench import results
from tunebench.config.options import Options, merge
from tunebench.training.job import Job, Outcome


def trials(search: Mapping[str, Sequence[Any]]) -> list[Options]:
    """Every combination of the listed values, in their order.

    >>> trials({"learning_rate": [0.1, 0.2], "num_train_epochs": [1]})
    [{'learning_rate': 0.1, 'num_train_epochs': 1}, {'learning_rate': 0.2, 'num_train_epochs': 1}]
    """
    return [dict(zip(search, values, strict=True)) for values in product(*search.values())]


def train(job: Job, once: Callable[[Job], Outcome]) -> Outcome:
    """Train every trial, and keep the one with the lowest loss on the validation rows.

    A trial that has ended is not trained again when a killed run goes on. One that diverges or runs
    out of memory loses; where all do, the first's end is the run's.

    Args:
        once: trains one job.

    Returns:
        The winner's metrics and history, and its settings as `chosen`; `search` holds each trial's
        settings, loss and seconds, `search_device_s` the seconds of all together.
    """
    from tunebench.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(job.checkpoints, job.identity())
    checkpoints.last()
    settings = trials(job.method.search)
    found = [_trial(job, number, chosen, once) for number, chosen in enumerate(settings, start=1)]
    losses = [outcome.metrics.get("validation_loss", float("inf")) for outcome in found]
    best = losses.index(min(losses))
    shutil.rmtree(job.output, ignore_errors=True)
    # copied: a kill before the trials are gone would otherwise leave none to choose from
    shutil.copytree(_folder(job, best + 1) / "trained", job.output)
    checkpoints.remove()
    further = {
        "search": {
            str(number): chosen | _told(outcome)
            for number, (chosen, outcome) in enumerate(zip(settings, found, strict=True), start=1)
        },
        "search_device_s": results.rounded(
            sum(outcome.metrics.get("device_s", 0.0) for outcome in found)
        ),
        "chosen_trial": best + 1,
    }
    winner = found[best]
    return replace(winner, metrics=winner.metrics | further, chosen=settings[best])


def _trial(job: Job, number: int, chosen: Options, once: Callable[[Job], Outcome]) -> Outcome:
    folder = _folder(job, number)
    done = folder / "outcome.json"
    if done.exists():
        return Outcome(**results.read(done))
    outcome = once(
        replace(
            job,
            name=f"{job.name}, trial {number}",
            settings=merge(job.settings, chosen),
            method=job.method.model_copy(update={"search": {}}),
            checkpoints=folder / "checkpoints",
            output=folder / "trained",
        )
    )
    gc.collect()  # the next trial's model takes the place of this one's
    results.write(done, {"metrics": outcome.metrics, "history": outcome.history})
    return outcome


def _folder(job: Job, number: int) -> Path:
    return job.checkpoints / f"trial-{number}"


def _told(outcome: Outcome) -> results.Metrics:
    names = ("validation_loss", "loss", "device_s", "out_of_memory", "diverged")
    return {name: outcome.metrics[name] for name in names if name in outcome.metrics}
