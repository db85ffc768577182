"""End a stage when the `dvc` that started it is gone.

DVC killed with SIGKILL or SIGTERM leaves its stage running, and the next `dvc repro` would start a
second one.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil

POLL_S = 0.5
GRACE_S = 20.0


def end_with_dvc() -> None:
    """Watch the `dvc` process from a thread, if there is one; see `_watch`."""
    if watched := _above():
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def dvc() -> psutil.Process | None:
    """The `dvc` process that runs this stage; None for a script that was started by hand."""
    above = _above()
    return above[-1] if above else None


def _above() -> list[psutil.Process]:
    """The shell that `dvc` started, if there is one, and `dvc`."""
    if "DVC_STAGE" not in os.environ:
        return []
    parents: list[psutil.Process] = psutil.Process().parents()[:2]
    if len(parents) == 2 and not _is_its_shell(parents[0]):
        # the shell that DVC started has become this process; beyond DVC is the user's own shell
        del parents[1]
    return parents


def _watch(processes: list[psutil.Process]) -> None:
    """Terminate this process as SIGTERM does when one of the others ends, or by force if it stays.

    Only the main thread handles a signal, and it may be waiting in a library that ignores it.
    """
    while all(map(_runs, processes)):
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGTERM)


def _is_its_shell(process: psutil.Process) -> bool:
    try:
        return any(" -m stages." in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
