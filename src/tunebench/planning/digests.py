"""MD5 of files and folders as dvc.lock holds them, hashed again only where size or time changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tunebench import results

# smaller files are hashed faster than they are looked up
REMEMBERED_BYTES = 1 << 18


@dataclass
class Digests:
    """The digests of files, remembered in `file` from one plan to the next.

    Args:
        moved: folders that are to be looked for elsewhere, as one that is being written.
    """

    file: Path
    moved: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = results.earlier(self.file) or {}
        self._files: dict[str, str] = {}
        self._paths: dict[str, str | None] = {}

    def of(self, path: str) -> str | None:
        """The digest of a file or a folder, with `.dir` at its end; None if it is not there."""
        if path not in self._paths:
            self._paths[path] = self._digest(self._place(path))
        return self._paths[path]

    def save(self) -> None:
        """Remember those of large files."""
        if self._files != self._known:
            results.write(self.file, self._files)

    def _place(self, path: str) -> Path:
        for folder, place in self.moved.items():
            if path == folder or path.startswith(f"{folder}/"):
                return place / path[len(folder) + 1 :]
        return Path(path)

    def _digest(self, path: Path) -> str | None:
        if path.is_file():
            return self._of_file(path)
        if not path.is_dir():
            return None
        # as dvc_data.hashfile.tree.Tree writes the list of a folder's files
        listed = [
            {"md5": self._of_file(file), "relpath": file.relative_to(path).as_posix()}
            for file in _files(path)
        ]
        text = json.dumps(sorted(listed, key=lambda entry: entry["relpath"]), sort_keys=True)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"

    def _of_file(self, path: Path) -> str:
        status = path.stat()
        if status.st_size < REMEMBERED_BYTES:
            return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        key = f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}"
        if key not in self._files:
            self._files[key] = self._known.get(key) or _hashed(path)
        return self._files[key]


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """All files in a folder, less those that .dvcignore names."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(place) / name for name in names)
