"""SHA-256 of files, computed again only when a file's size or time changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tunebench import paths, results


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Each file's SHA-256; unchanged ones come from `data/fingerprints.json`."""
    known = results.read(paths.FINGERPRINTS) if paths.FINGERPRINTS.exists() else {}
    found, changed = {}, False
    for path in files:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = known.get(str(path.resolve()))
        if entry is None or entry["stamp"] != stamp:
            with path.open("rb") as file:
                entry = {"stamp": stamp, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
            known[str(path.resolve())] = entry
            changed = True
        found[path] = str(entry["sha256"])
    if changed:
        results.write(paths.FINGERPRINTS, known)
    return found
