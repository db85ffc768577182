"""Errors of a disk that is full or cannot be written to, which each library reports in its way."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from tunebench.errors import DiskError
from tunebench.paths import DATA, METRICS, PAGE

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
PLACES = (Path(), DATA, METRICS, PAGE.parent)
# of torch and safetensors, which name no error number
MESSAGES = ("No space left on device", "PytorchStreamWriter failed", "unexpected pos")


def is_full(error: BaseException) -> bool:
    """Whether the disk is full."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(text in str(error) for text in MESSAGES)


def explained(error: Exception) -> DiskError | None:
    """The error that a user is told, with the remedy; None if the disk is not its cause."""
    if is_full(error):
        folder, free = _fullest()
        return DiskError(
            f"{folder}: the disk is full ({free / 1e6:.3g} MB free). Free some and run again;"
            " earlier results are unchanged"
        )
    if isinstance(error, OSError) and error.errno in READ_ONLY:
        return DiskError(
            f"{error.filename}: {error.strerror}; make it writable and run again; earlier results"
            " are unchanged"
        )
    return None


def check_free(folder: Path, needed: int) -> None:
    """Check that a folder's disk has so many bytes free.

    Raises:
        DiskError: if it has fewer.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskError(
            f"{folder}: needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free; free some,"
            " or name a folder on another disk"
        )


def _fullest() -> tuple[Path, int]:
    """The folder with the fewest free bytes, of those that a stage writes to, and how many."""
    folders = [*PLACES, Path(tempfile.gettempdir())]
    free = {folder: shutil.disk_usage(folder).free for folder in folders if folder.exists()}
    return min(free.items(), key=lambda item: item[1])
