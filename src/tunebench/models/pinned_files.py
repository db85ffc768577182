"""Whether a model's files are still those that `fetch_model` pinned."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tunebench import paths
from tunebench.errors import SourceError


def check(folder: Path, pin: dict[str, Any]) -> None:
    """Compare the files' sizes with the pin, and hash those that changed since `check` hashed them.

    Raises:
        SourceError: with the first file that is missing or another.
    """
    fingerprints = _fingerprints()
    for name, pinned in pin["files"].items():
        path = folder / name
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}; {_remedy(pin)}") from None
        if status.st_size != pinned["bytes"]:
            sizes = f"{status.st_size:,} bytes, not {pinned['bytes']:,}"
            raise SourceError(f"{path} changed since it was pinned ({sizes}); {_remedy(pin)}")
        stamp = [status.st_size, status.st_mtime_ns]
        entry = fingerprints.get(str(path.resolve()))
        if entry is None and _is_cached(pin):
            continue  # fetched by another clone: the cache names files by their hash
        hashed = entry == {"stamp": stamp, "sha256": pinned["sha256"]}
        if not hashed and _sha256(path) != pinned["sha256"]:
            raise SourceError(f"{path} changed since it was pinned; {_remedy(pin)}")


def _fingerprints() -> dict[str, Any]:
    """What the stage `check` hashed, by the file's path; empty if that cannot be read."""
    try:
        content = json.loads(paths.FINGERPRINTS.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_cached(pin: dict[str, Any]) -> bool:
    """Whether the files lie in the Hugging Face cache, not where a user put them."""
    return "hub" in pin["source"] or "gguf" in pin["source"]


def _remedy(pin: dict[str, Any]) -> str:
    if _is_cached(pin):
        return "fetch it again: dvc repro --force --single-item fetch_model"
    return "restore it, or run `dvc repro` again, which takes the model as it is now"
