"""The report page with a section on what changed since a revision."""

from __future__ import annotations

from pathlib import Path

from tunebench import config
from tunebench.errors import SourceError
from tunebench.report import compare, gathered


def write(path: Path, before: str) -> list[str]:
    """Write the page of the files as they are; what to say of it.

    Raises:
        ParameterError: if the revision does not exist, or `params.yaml` has a fault.
        SourceError: if one of the two has no results, or the file cannot be written there.
    """
    changes = compare.between(before)
    found = gathered.gather(config.load())
    try:
        found.write_page(path, changes)
    except OSError as error:
        raise SourceError(f"--page {path}: {error.strerror}; choose another file") from None
    return [f"wrote {path}: what changed since {changes.before} is its section 'What changed'"]
