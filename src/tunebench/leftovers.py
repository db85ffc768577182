"""Temporary copies that killed processes left behind."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path


def sweep(path: Path) -> None:
    """Remove what processes that are gone left of writing `path`: `.<name>.<process id>.…`.

    An earlier folder that was moved aside when the process was killed is moved back.
    """
    if not path.parent.is_dir():
        return
    for leftover in remains(path.parent, prefix=f".{path.name}."):
        if leftover.name.endswith(".old") and not path.exists():
            leftover.rename(path)
        else:
            remove(leftover)


def remains(folder: Path, *, prefix: str) -> list[Path]:
    """What has this prefix and then the number of a process that is gone."""
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.[^.]*")
    found = ((path, pattern.fullmatch(path.name)) for path in folder.iterdir())
    return [path for path, match in found if match and not runs(int(match[1]))]


def remove(path: Path) -> None:
    """Remove a file or a folder, unless another process does so at the same time."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """What processes that are gone left anywhere below a folder."""
    pattern = re.compile(r"\..+\.(\d+)\.(tmp|old)")
    found = ((path, pattern.fullmatch(path.name)) for path in folder.rglob(".*"))
    return sorted(path for path, match in found if match and not runs(int(match[1])))


def runs(process: int) -> bool:
    """Whether a process of this number is there."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
