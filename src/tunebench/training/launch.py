"""One training in several processes, under torchrun or `accelerate launch`.

The stage's own process starts them, waits, and takes their outcome; it trains nothing itself. Each
of them runs `tunebench.training.worker` on the job that is written to a folder for them.
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
# what torch's launcher answers with a SignalException of its own
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def asked(settings: Options) -> Launch | None:
    """The processes that training settings ask for; None where this one is enough."""
    own, _ = OwnTraining.part(settings)
    if own.launch is None or (own.launch.num_processes == 1 and own.launch.config is None):
        return None
    return own.launch


def train(job: Job, launch: Launch) -> Outcome:
    """Train in processes of their own.

    Raises:
        TrainingError: if they fail; of what each of them says, what the first one said.
    """
    try:
        batch_size.share(OwnTraining.part(job.settings)[1], launch.num_processes)
    except TrainingError as error:
        raise TrainingError(f"{job.name}: training.{error}") from None
    with tempfile.TemporaryDirectory(prefix="tunebench-") as name:
        folder = Path(name)
        process.write(job, folder)
        added = process.environment(folder) | _threads(launch.num_processes)
        with _own_signals(), _environment(added):
            failed = _start(job.name, launch, COMMAND)
        if failed and not process.has_ended(folder):
            raise TrainingError(f"{job.name}: {process.fault(folder) or failed}")
        return process.read_outcome(folder)


def _threads(processes: int) -> dict[str, str]:
    """The cores shared out; torchrun would give each process one thread, and warn of it."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}


def _start(name: str, launch: Launch, command: Sequence[str]) -> str:
    """Run a command in several processes, and wait; what is known of a failure, or nothing."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # it would tell at length what is told in one line here, and that OMP_NUM_THREADS is not set
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    for logger in list(logging.root.manager.loggerDict):
        if logger.startswith("torch.distributed.elastic"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        (_accelerate if launch.config else _torchrun)(launch, command)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = f"signal {failure.signal_name()}" if failure.exitcode < 0 else failure.exitcode
        of = f"process {rank} of {launch.num_processes}"
        remedy = "; the system may have run out of memory" if failure.exitcode == -9 else ""
        return f"{of} ended with {ended}, and said nothing{remedy}"
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

    # port 0: one that is free, since another run may hold accelerate's own
    options = ["--config_file", str(launch.config), "--num_processes", str(launch.num_processes)]
    options += ["--main_process_port", "0"]
    launch_command(launch_command_parser().parse_args([*options, *command]))


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started within."""
    earlier = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(earlier)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put back the answers to signals, which torch's launcher replaces for good."""
    earlier: dict[int, Callable[..., Any] | int | None] = {
        number: signal.getsignal(number) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
