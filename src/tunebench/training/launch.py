"""Distributed training: several processes under torchrun or `accelerate launch`.

The stage's own process starts them, waits, and reads their outcome; it does not train. Each of them
runs `tunebench.training.worker` on the job, which is written to a temporary folder.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunebench.config.options import Launch, Options, OwnTraining
from tunebench.errors import TrainingError
from tunebench.training import batch_size, process
from tunebench.training.job import Job, Outcome

COMMAND = ("-m", "tunebench.training.worker")
# torch's launcher installs handlers for these, which raise its SignalException
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def requested(settings: Options) -> Launch | None:
    """The `launch` of training settings; None if this process can train alone."""
    own, _ = OwnTraining.part(settings)
    if own.launch is None or (own.launch.num_processes == 1 and own.launch.config is None):
        return None
    return own.launch


def train(job: Job, launch: Launch) -> Outcome:
    """Train in several processes.

    Raises:
        TrainingError: if they fail, with the message of the first that failed.
    """
    try:
        batch_size.share(OwnTraining.part(job.settings)[1], launch.num_processes)
    except TrainingError as error:
        raise TrainingError(f"{job.name}: training.{error}") from None
    with tempfile.TemporaryDirectory(prefix="tunebench-") as name:
        folder = Path(name)
        process.write(job, folder)
        variables = process.environment(folder) | _threads(launch.num_processes)
        with _own_signals(), _environment(variables):
            failure = _start(job.name, launch, COMMAND)
        if failure and not process.has_ended(folder):
            raise TrainingError(f"{job.name}: {process.fault(folder) or failure}")
        return process.read_outcome(folder)


def _threads(processes: int) -> dict[str, str]:
    """OMP_NUM_THREADS, the cores divided; torchrun would set one thread, with a warning."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}


def _start(name: str, launch: Launch, command: Sequence[str]) -> str:
    """Run a command in several processes, and wait; why it failed, or an empty string."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # its long tracebacks say what one line says here
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    for logger in list(logging.root.manager.loggerDict):
        if logger.startswith("torch.distributed.elastic"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        (_accelerate if launch.config else _torchrun)(launch, command)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = f"signal {failure.signal_name()}" if failure.exitcode < 0 else failure.exitcode
        process_name = f"process {rank} of {launch.num_processes}"
        remedy = "; the system may have run out of memory" if failure.exitcode == -9 else ""
        return f"{process_name} ended with {status}, and said nothing{remedy}"
    except SignalException as error:
        raise KeyboardInterrupt from error
    except (ValueError, TypeError, KeyError, ImportError) as error:
        place = f"training.launch: {launch.config or 'torchrun'}"
        raise TrainingError(f"{name}: {place}: {error}") from error
    return ""


def _torchrun(launch: Launch, command: Sequence[str]) -> None:
    from torch.distributed import run

    options = ["--standalone", "--nproc-per-node", str(launch.num_processes)]
    run.run(run.parse_args([*options, *command]))  # type: ignore[no-untyped-call]


def _accelerate(launch: Launch, command: Sequence[str]) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser

    # port 0: a free one, since another run may use accelerate's default
    options = ["--config_file", str(launch.config), "--num_processes", str(launch.num_processes)]
    options += ["--main_process_port", "0"]
    launch_command(launch_command_parser().parse_args([*options, *command]))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started in the block."""
    saved = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore the signal handlers after the block; torch's launcher replaces them for good."""
    saved: dict[int, Callable[..., Any] | int | None] = {
        number: signal.getsignal(number) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
