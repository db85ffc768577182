"""SHA-256 of files, cached by their size and modification time."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

from tunebench import paths, results
from tunebench.data.sources.decoding import readable


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Each file's SHA-256, from `data/fingerprints.json` if it is unchanged.

    Raises:
        SourceError: if a file cannot be read.
    """
    cached = _cached()
    hashes, changed = {}, False
    for path in files:
        with readable(path):
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            entry = cached.get(str(path.resolve()))
            if not _is_entry(entry) or entry["stamp"] != stamp:
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                entry = cached[str(path.resolve())] = {"stamp": stamp, "sha256": sha256}
                changed = True
        hashes[path] = entry["sha256"]
    if changed:
        _store(cached)
    return hashes


def _cached() -> dict[str, Any]:
    """What is cached; empty if the file is missing or damaged, as it is soon written anew."""
    try:
        cached = json.loads(paths.FINGERPRINTS.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return cached if isinstance(cached, dict) else {}


def _is_entry(entry: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(entry, dict)
        and re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256"))) is not None
        and "stamp" in entry
    )


def _store(cached: dict[str, Any]) -> None:
    with (
        results.replacing(paths.FINGERPRINTS) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        json.dump(cached, file, indent=2)  # ASCII: names of files need not be UTF-8
        file.write("\n")
        # else a power cut may leave the new name with none of the content
        file.flush()
        os.fsync(file.fileno())
