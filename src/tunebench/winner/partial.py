"""What an interrupted prediction keeps: finished rows, and the batches of the current chunk.

They stand in a folder beside the output, `<output>.partial/`:

- `settings.json`: of what rows, by which model; others are refused
- `progress.json`: how many chunks are in `rows`, and how many bytes they take
- `rows`: those chunks, as the output will have them
- `batches.jsonl`: what the model answered of the next chunk
"""

from __future__ import annotations

import json
import os
import shutil
from collections import UserDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tunebench import locks, results
from tunebench.errors import ParameterError


class Partial:
    """The folder of one prediction; see the module's docstring.

    `chunks` is how many are finished, and `counts` what the caller counted in them.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = folder_of(output)
        self.chunks = 0
        self.counts: dict[str, Any] = {}

    @property
    def _rows(self) -> Path:
        return self.folder / "rows"

    @contextmanager
    def opened(self, settings: Mapping[str, Any], *, force: bool) -> Iterator[None]:
        """Hold the folder during the block, with what an earlier process finished.

        Args:
            settings: JSON, equal where rows can be continued.
            force: start over if they are not equal.

        Raises:
            ParameterError: if the folder is of other settings.
            BusyError: if another process writes this output.
        """
        with locks.held(self.folder.resolve() / "predict", patience_s=0):
            earlier = results.earlier(self.folder / "settings.json")
            if earlier is not None and earlier != settings and not force:
                differing = [key for key in settings if earlier.get(key) != settings[key]]
                raise ParameterError(
                    [
                        f"{self.folder}: holds rows that were answered with another"
                        f" {', '.join(differing)}; give another --out, or --force to start over"
                    ]
                )
            if earlier == settings:
                self._resume()
            else:
                results.write(self.folder / "settings.json", settings)
                self._truncate(0)
            try:
                yield
            finally:
                if self.folder.exists() and not self._has_rows():
                    self.remove()

    def _resume(self) -> None:
        progress = results.earlier(self.folder / "progress.json")
        if progress and self._rows.exists() and self._rows.stat().st_size >= progress["bytes"]:
            self.chunks, self.counts = progress["chunks"], progress["counts"]
            self._truncate(progress["bytes"])
        else:
            self._truncate(0)

    def _has_rows(self) -> bool:
        """Whether there is anything to go on from."""
        files = (self._rows, self.folder / "batches.jsonl")
        return any(path.exists() and path.stat().st_size for path in files)

    def _truncate(self, size: int) -> None:
        with self._rows.open("ab") as file:
            file.truncate(size)
        if not size:
            (self.folder / "progress.json").unlink(missing_ok=True)

    @contextmanager
    def batches(self) -> Iterator[Batches]:
        """What was answered of the next chunk, to be continued in the block."""
        path = self.folder / "batches.jsonl"
        finished = dict(_read_batches(path, self.chunks))
        with path.open("wb") as file:
            batches = Batches(file, self.chunks)
            batches.update(finished)
            yield batches

    def add(self, rows: bytes, counts: Mapping[str, Any]) -> None:
        """Add the next chunk's rows, so that no crash loses them."""
        with self._rows.open("ab") as file:
            file.write(rows)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self.chunks, self.counts = self.chunks + 1, dict(counts)
        progress = {"chunks": self.chunks, "bytes": size, "counts": self.counts}
        results.write(self.folder / "progress.json", progress)

    def finish(self) -> None:
        """Replace the output by the rows, and remove the folder."""
        self._rows.replace(self.output)
        self.remove()

    def remove(self) -> None:
        """Remove the folder: its rows are of no use."""
        shutil.rmtree(self.folder)


class Batches(UserDict[int, list[Any]]):
    """Index → what the model answered; each entry is on the disk as soon as it is made."""

    def __init__(self, file: BinaryIO, chunk: int) -> None:
        super().__init__()
        self._file, self._chunk = file, chunk

    def __setitem__(self, index: int, row: list[Any]) -> None:
        super().__setitem__(index, row)
        self._file.write(json.dumps([self._chunk, index, row]).encode() + b"\n")
        self._file.flush()


def folder_of(output: Path) -> Path:
    """The folder beside an output."""
    return output.with_name(f"{output.name}.partial")


def _read_batches(path: Path, chunk: int) -> Iterator[tuple[int, list[Any]]]:
    """The entries of a chunk, up to a line that was cut when the process was killed."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            of_chunk, index, row = json.loads(line)
            if of_chunk == chunk:
                yield index, row
