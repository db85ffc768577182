"""The experiment trackers that `report_to` names: where they write, and when their runs end.

transformers' own callbacks log to them. Left alone, they would write to the run's checkpoints,
which go at its end, or to the repository's root, and all trials of a search into one run.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tunebench import paths
from tunebench.errors import TrainingError
from tunebench.training.job import Job

log = logging.getLogger(__name__)

MODULES = {"mlflow": "mlflow", "tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}
PROJECT = "tunebench"


def modules(trackers: Iterable[str]) -> list[str]:
    """What the callbacks of these trackers import."""
    return [MODULES[name] for name in trackers if name in MODULES]


@contextmanager
def reporting(job: Job, trackers: Iterable[str]) -> Iterator[None]:
    """Give each tracker its folder during the block, and end its run with it.

    An environment variable of one's own takes precedence.

    Raises:
        TrainingError: what a tracker raised, as for a server that cannot be reached.
    """
    named = [name for name in trackers if name in MODULES]
    failed = True
    try:
        with _environment(job, named):
            if "wandb" in named and os.environ.get("RANK", "0") == "0":
                _start_wandb(job)
            yield
        failed = False
    except Exception as error:
        tracker = type(error).__module__.split(".")[0]
        if tracker not in named:
            raise
        line = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise TrainingError(
            f"{job.name}: report_to: {tracker}: {line}; mend that, or set report_to: none"
        ) from error
    finally:
        _end(named, failed=failed)


@contextmanager
def _environment(job: Job, trackers: Sequence[str]) -> Iterator[None]:
    """The variables by which trackers are configured, set during the block."""
    variables = _variables(job, trackers)
    saved = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _variables(job: Job, trackers: Sequence[str]) -> dict[str, str]:
    variables = {}
    for name in trackers:
        (paths.TRACKERS / name).mkdir(parents=True, exist_ok=True)
    if "tensorboard" in trackers:  # it tells runs apart by their folders alone
        folder = os.environ.get("TENSORBOARD_LOGGING_DIR", paths.TRACKERS / "tensorboard")
        variables["TENSORBOARD_LOGGING_DIR"] = str(Path(folder) / job.name)
    if "mlflow" in trackers:
        defaults = {"MLFLOW_EXPERIMENT_NAME": PROJECT, "MLFLOW_FLATTEN_PARAMS": "true"}
        if "MLFLOW_TRACKING_URI" not in os.environ:
            defaults["MLFLOW_TRACKING_URI"] = (paths.TRACKERS / "mlflow").absolute().as_uri()
            # mlflow 3.17 refuses a folder without it; its database needs packages beyond the pins
            defaults["MLFLOW_ALLOW_FILE_STORE"] = "true"
        variables |= {key: value for key, value in defaults.items() if key not in os.environ}
    return variables


def _start_wandb(job: Job) -> None:
    """Start a run, which the callback then takes: without a login it would ask for one."""
    wandb = import_module("wandb")
    mode = os.environ.get("WANDB_MODE")
    if mode is None and not wandb.login(prompt=False):
        mode = "offline"
        log.info("%s: no login to wandb: this run is logged to %s", job.name, paths.TRACKERS)
    wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=job.name,
        dir=os.environ.get("WANDB_DIR", str(paths.TRACKERS)),  # it adds a folder `wandb`
        mode=mode,
        settings=wandb.Settings(silent=True, console="off"),
    )


def _end(trackers: Iterable[str], *, failed: bool) -> None:
    """End the runs that are still open: they are bound to this process, and would go on."""
    for name in trackers:
        module: Any = sys.modules.get(name)
        if name == "wandb" and module and module.run is not None:
            module.finish(exit_code=int(failed))
        if name == "mlflow" and module and module.active_run() is not None:
            module.end_run(status="FAILED" if failed else "FINISHED")
