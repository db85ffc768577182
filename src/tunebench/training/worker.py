"""One process of a distributed training: python -m tunebench.training.worker.

Environment variables give its rank and the folder with its job.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tunebench.quiet import calm_libraries, show_own_lines
from tunebench.training import process
from tunebench.training.attempt import attempt
from tunebench.training.job import Ended, Outcome


def main(folder: Path) -> None:
    """Train the job; the first process writes the outcome, or any that ends without a model."""
    rank = int(os.environ["RANK"])
    if rank != 0:
        _silence()
    try:
        outcome = attempt(process.read(folder))
    except Ended as ended:
        process.write_outcome(folder, Outcome(ended.metrics, ended.history), ended=True)
        os._exit(1)  # at once: the others wait for this one, and are terminated with it
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as error:
        process.write_fault(folder, error)
        os._exit(1)
    if rank == 0:
        process.write_outcome(folder, outcome, ended=False)
    leave()


def leave() -> None:
    """Leave the process group, if there is one."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def _silence() -> None:
    """Discard this process's output, since the first process prints the same."""
    with Path(os.devnull).open("w") as nothing:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())


def _end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    _end_with(int(os.environ[process.PARENT]))
    signal.signal(signal.SIGTERM, _interrupt)  # so that no temporary file stays
    calm_libraries()
    show_own_lines()
    main(Path(os.environ[process.FOLDER]))
