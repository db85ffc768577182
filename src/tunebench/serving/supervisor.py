"""Run a command that must not outlive the process that started it:
python src/tunebench/serving/supervisor.py FD PROGRAM ARGUMENTS…

FD is the read end of a pipe whose write end that process holds. The pipe closes when that process
ends, however it ends; then the command and all its descendants are terminated. The supervisor has
its own session, so that a signal to the process group does not kill it first.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

GRACE_S = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(lifeline: int, command: list[str], inherited: list[int]) -> int:
    """Run the command until it ends, or until the write end of `lifeline` is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the closed pipe ends it
    _adopt_orphans()
    process = subprocess.Popen(
        command, pass_fds=inherited, preexec_fn=_begin, start_new_session=True
    )
    ended, write_end = os.pipe()

    def wait() -> None:
        process.wait()
        os.close(write_end)

    threading.Thread(target=wait, daemon=True).start()
    select.select([lifeline, ended], [], [])
    _end_descendants()
    return process.wait()


def _adopt_orphans() -> None:
    """Become the parent of orphaned descendants."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _begin() -> None:
    """In the command's process: handle signals again, and end even if the supervisor is killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process (Linux only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_descendants() -> None:
    """Terminate all descendants, and kill those that are left after `GRACE_S`."""
    for method, patience_s in (("terminate", GRACE_S), ("kill", GRACE_S)):
        processes = psutil.Process().children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                getattr(process, method)()
        psutil.wait_procs(processes, timeout=patience_s)


if __name__ == "__main__":
    fds = [int(number) for number in sys.argv[1].split(",")]
    sys.exit(main(fds[0], sys.argv[2:], fds[1:]))
