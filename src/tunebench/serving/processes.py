"""Processes that end with this one, however it ends; see `tunebench.serving.supervisor`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from tunebench.serving.supervisor import GRACE_S


@contextmanager
def supervised(
    command: Sequence[str],
    *,
    log: IO[bytes],
    environment: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs; it and its own children are ended with the block.

    Args:
        log: where its standard output and error go.
        environment: variables added to this process's own.
        inherited: file descriptors that it may use.

    Yields:
        The supervisor's process, which ends when the command does, with the same exit status.
    """
    life, held = os.pipe()
    fds = ",".join(map(str, (life, *inherited)))
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tunebench.serving.supervisor", fds, *command],
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        pass_fds=(life, *inherited),
        start_new_session=True,
    )
    os.close(life)
    try:
        yield supervisor
    finally:
        os.close(held)
        supervisor.wait(3 * GRACE_S)
