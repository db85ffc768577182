"""One process at a time writes a result."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tunebench import paths
from tunebench.errors import BusyError

# a stage whose `dvc` was killed needs some seconds to end
PATIENCE_S = 15.0
POLL_S = 0.1


@contextmanager
def held(*outputs: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of each output during the block; the kernel frees those of a killed process.

    Raises:
        BusyError: if another process still holds one after `patience_s`.
    """
    until = time.monotonic() + patience_s
    with ExitStack() as locks:
        for output in outputs:
            locks.enter_context(_held(output, until))
        yield


@contextmanager
def _held(output: Path, until: float) -> Iterator[None]:
    path = paths.lock(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        while not _locked(file.fileno()):
            if time.monotonic() > until:
                raise BusyError(str(output), path.read_text("utf-8").strip())
            time.sleep(POLL_S)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
