"""SHA-256 of files, cached by their size and modification time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tunebench import paths, results


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Each file's SHA-256, from `data/fingerprints.json` if it is unchanged."""
    cached = results.read(paths.FINGERPRINTS) if paths.FINGERPRINTS.exists() else {}
    hashes, changed = {}, False
    for path in files:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = cached.get(str(path.resolve()))
        if entry is None or entry["stamp"] != stamp:
            with path.open("rb") as file:
                entry = {"stamp": stamp, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
            cached[str(path.resolve())] = entry
            changed = True
        hashes[path] = str(entry["sha256"])
    if changed:
        results.write(paths.FINGERPRINTS, cached)
    return hashes
