"""Hyperparameter search: every trial is trained, and the lowest validation loss wins.

The ranking of methods depends on their learning rates as much as on the methods. So each method can
be tuned on the same training rows, and the cost of its search is counted.
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
    """Every combination of the listed values, in order.

    >>> trials({"learning_rate": [0.1, 0.2], "num_train_epochs": [1]})
    [{'learning_rate': 0.1, 'num_train_epochs': 1}, {'learning_rate': 0.2, 'num_train_epochs': 1}]
    """
    return [dict(zip(search, values, strict=True)) for values in product(*search.values())]


def train(job: Job, train_once: Callable[[Job], Outcome]) -> Outcome:
    """Train every trial, and keep the one with the lowest loss on the validation rows.

    A resumed run does not repeat finished trials. A trial that diverges or runs out of memory
    loses; if all do, the first one's outcome is the run's.

    Args:
        train_once: trains one job.

    Returns:
        The winner's metrics and history, and its settings as `chosen`. `search` has each trial's
        settings, loss and seconds; `machine_s` is that of all trials, failed ones included.
    """
    from tunebench.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(job.checkpoints, job.identity())
    checkpoints.last()
    all_trials = trials(job.method.search)
    outcomes = [
        _trial(job, number, trial, train_once) for number, trial in enumerate(all_trials, start=1)
    ]
    losses = [outcome.metrics.get("validation_loss", float("inf")) for outcome in outcomes]
    best = losses.index(min(losses))
    shutil.rmtree(job.output, ignore_errors=True)
    # copied, not moved: a run that is killed here can still choose
    shutil.copytree(_folder(job, best + 1) / "trained", job.output)
    checkpoints.remove()
    further = {
        "search": {
            str(number): trial | _summary(outcome)
            for number, (trial, outcome) in enumerate(
                zip(all_trials, outcomes, strict=True), start=1
            )
        },
        "machine_s": results.rounded(sum(outcome.metrics["machine_s"] for outcome in outcomes)),
        "chosen_trial": best + 1,
    }
    winner = outcomes[best]
    return replace(winner, metrics=winner.metrics | further, chosen=all_trials[best])


def _trial(job: Job, number: int, trial: Options, train_once: Callable[[Job], Outcome]) -> Outcome:
    folder = _folder(job, number)
    outcome_path = folder / "outcome.json"
    if outcome_path.exists():
        return Outcome(**results.read(outcome_path))
    outcome = train_once(
        replace(
            job,
            name=f"{job.name}, trial {number}",
            settings=merge(job.settings, trial),
            method=job.method.model_copy(update={"search": {}}),
            checkpoints=folder / "checkpoints",
            output=folder / "trained",
        )
    )
    gc.collect()  # free this trial's model before the next one's is loaded
    results.write(outcome_path, {"metrics": outcome.metrics, "history": outcome.history})
    return outcome


def _folder(job: Job, number: int) -> Path:
    return job.checkpoints / f"trial-{number}"


def _summary(outcome: Outcome) -> results.Metrics:
    names = ("validation_loss", "loss", "machine_s", "out_of_memory", "diverged")
    return {name: outcome.metrics[name] for name in names if name in outcome.metrics}
