"""Errors of a disk that is full or cannot be written to, which each library reports in its way."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from tunebench.errors import DiskError

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
# of torch and safetensors, which name no error number
MESSAGES = ("No space left on device", "PytorchStreamWriter failed", "unexpected pos")


def is_full(error: BaseException) -> bool:
    """Whether the disk is full."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(text in str(error) for text in MESSAGES)


def explained(error: Exception) -> DiskError | None:
    """The error that a user is told, with the remedy; None if the disk is not its cause."""
    place = getattr(error, "filename", None)
    if is_full(error):
        free = shutil.disk_usage(Path.cwd()).free
        return DiskError(
            f"{place or Path.cwd()}: the disk is full ({free / 1e9:.2g} GB free in the project's"
            " folder). Free some and run again; earlier results are unchanged"
        )
    if isinstance(error, OSError) and error.errno in READ_ONLY:
        return DiskError(
            f"{place}: {error.strerror}; make it writable and run again; earlier results are"
            " unchanged"
        )
    return None
