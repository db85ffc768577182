"""Child processes that never outlive this one; see `tunebench.serving.supervisor`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from tunebench.serving import supervisor


@contextmanager
def supervised(
    command: Sequence[str],
    *,
    log: IO[bytes],
    environment: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command during the block; it and its descendants are terminated after it.

    Args:
        log: where its standard output and error go.
        environment: variables added to this process's own.
        inherited: file descriptors that it may use.

    Yields:
        The supervisor process, which exits when the command does, with the same status.
    """
    lifeline, write_end = os.pipe()
    fds = ",".join(map(str, (lifeline, *inherited)))
    process = subprocess.Popen(
        # by its path: its package imports much that it does not need
        [sys.executable, "-P", supervisor.__file__, fds, *command],
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        pass_fds=(lifeline, *inherited),
        start_new_session=True,
    )
    os.close(lifeline)
    try:
        yield process
    finally:
        os.close(write_end)
        process.wait(3 * supervisor.GRACE_S)
