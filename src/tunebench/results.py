"""Results: JSON files and their provenance, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from pydantic_core import to_jsonable_python

from tunebench import leftovers
from tunebench.errors import SourceError

Metrics = dict[str, Any]
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path, which replaces `path` atomically when the block ends without error.

    If the process is killed, the earlier file is unchanged. A path that is temporary already is
    written itself.
    """
    if path.name.endswith(_ending("tmp")):
        yield path
        return
    with replacing_together(path) as (temporary,):
        yield temporary


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary, empty folder, which replaces `path` when the block ends without error.

    If the process is killed, the earlier folder is unchanged, or missing between the two renames;
    the next call restores it.
    """
    with replacing_together(path) as (temporary,):
        temporary.mkdir()
        yield temporary


@contextmanager
def replacing_together(*outputs: Path) -> Iterator[list[Path]]:
    """Temporary paths, which replace the files and folders `outputs` at the end of the block.

    They are written in the block, and replaced together: either all of them, or none if it fails.
    What killed processes left beside them is removed.
    """
    temporaries = [_beside(path, "tmp") for path in outputs]
    try:
        for path, temporary in zip(outputs, temporaries, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            leftovers.remove(temporary)  # of a killed process that had this number
            leftovers.sweep(path)
        yield temporaries
        for temporary in temporaries:
            _flush(temporary)
        with _uninterrupted():
            for path, temporary in zip(outputs, temporaries, strict=True):
                _replace(path, temporary)
    finally:
        for temporary in temporaries:
            leftovers.remove(temporary)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}{_ending(end)}")


def _ending(end: str) -> str:
    return f".{os.getpid()}.{end}"


def _flush(path: Path) -> None:
    """Wait until the disk has a file, or a folder's files, so that no crash leaves them empty."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _replace(path: Path, temporary: Path) -> None:
    if not path.is_dir():
        temporary.replace(path)
        return
    old = _beside(path, "old")
    path.rename(old)
    temporary.rename(path)
    leftovers.remove(old)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block has ended."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically.

    Raises:
        ValueError: where a number is not finite: NaN is no JSON, and no result.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> Metrics:
    """Read a JSON object that an earlier stage wrote.

    Raises:
        SourceError: if it is not there, with the stage to run, or is damaged.
    """
    with _opened(path) as file:
        return _object(path, file.read())


def earlier(path: Path) -> Metrics | None:
    """The JSON object that an earlier run of this stage wrote; None without one that is whole."""
    try:
        return read(path)
    except SourceError:
        return None


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines atomically.

    Raises:
        ValueError: where a number is not finite: NaN is no JSON, and no result.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines that an earlier stage wrote.

    Raises:
        SourceError: if the file is not there, with the stage to run, or is damaged.
    """
    with _opened(path) as file:
        return [_object(path, line, number) for number, line in enumerate(file, start=1)]


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8") as file:
            yield file
    except FileNotFoundError:
        raise SourceError(f"{path}: is not there yet; run `dvc repro`") from None
    except UnicodeDecodeError:
        raise _damaged(path, "is not UTF-8") from None


def _object(path: Path, text: str, line: int = 1) -> Metrics:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, f"line {line + error.lineno - 1}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
        raise _damaged(path, f"line {line}: {error}") from None
    if not isinstance(content, dict):
        raise _damaged(path, f"line {line}: is no JSON object")
    return content


def _damaged(path: Path, fault: str) -> SourceError:
    return SourceError(f"{path}: is damaged: {fault}; remove it and run `dvc repro`")


def rounded(value: float, digits: int = 6) -> float:
    """A measured number, rounded to significant digits.

    >>> rounded(0.123456789)
    0.123457
    """
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def rounded_all(values: Mapping[str, Any]) -> Metrics:
    """A mapping whose floats are all `rounded`, nested ones too."""
    return {
        name: rounded_all(value)
        if isinstance(value, Mapping)
        else rounded(value)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def provenance(run: object, settings: Mapping[str, Any], device: str) -> Metrics:
    """Where a result comes from: run, resolved settings, library versions, machine."""
    return {
        "run": str(run),
        "settings": to_jsonable_python(dict(settings)),
        "libraries": library_versions(),
        "device": device,
        "platform": f"{sys.platform} {platform.machine()}",
    }
