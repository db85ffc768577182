"""JSON files, written atomically, and their provenance."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from tunebench.errors import SourceError

Metrics = dict[str, Any]
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path, which replaces `path` atomically when the block ends without error.

    If the process is killed, the earlier file is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary, empty folder, which replaces `path` when the block ends without error.

    If the process is killed, the earlier folder is unchanged, or missing between the two renames.
    """
    temporary, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)  # left over from a killed process of that id
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


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
        SourceError: if it is not there, with the stage to run.
    """
    try:
        content: Metrics = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path}: is not there yet; run `dvc repro`") from None
    return content


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines atomically.

    Raises:
        ValueError: where a number is not finite: NaN is no JSON, and no result.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines that an earlier stage wrote."""
    try:
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        raise SourceError(f"{path}: is not there yet; run `dvc repro`") from None


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
