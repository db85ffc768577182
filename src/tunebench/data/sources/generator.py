"""Rows from a Python module: `generate(rows, *, seed)` returns that many mappings.

Any importable module will do. Splits use different seeds, so they share rows only by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Any

from tunebench.config.data import Dataset
from tunebench.data.sources.fingerprints import digests
from tunebench.data.sources.rows import OpenedSource, Row
from tunebench.errors import SourceError, TunebenchError

SPLIT_SEEDS = {"train": 0, "validation": 1, "test": 2}


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the generator's file and of the modules beside it in its package."""
    try:
        spec = find_spec(str(dataset.generator))
    except (ImportError, ValueError):  # no such package; no name at all
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise SourceError(
            f"generator: {dataset.generator!r} is no importable module;"
            " name one with a function generate(rows, *, seed)"
        )
    origin = Path(spec.origin)
    package = (origin.parent / "__init__.py").exists()
    modules = sorted(origin.parent.glob("*.py")) if package else [origin]
    return {f"{path.name}": digest for path, digest in digests(modules).items()}


def open_rows(dataset: Dataset, *, pinned: str | None = None) -> OpenedSource:  # noqa: ARG001
    """Each split's rows, each with a name for messages about it.

    Raises:
        SourceError: if the module cannot be imported or has no such function; while rows are read,
            if it fails, gives more rows than asked for, or gives no mappings.
    """
    name = str(dataset.generator)
    with _explained(f"generator: {name}: its import"):
        module = import_module(name)
    if not callable(getattr(module, "generate", None)):
        raise SourceError(f"generator: {name} has no function generate(rows, *, seed)")
    return OpenedSource(
        {
            str(split): _rows(name, module.generate, str(split), rows)
            for split, rows in (dataset.rows or {}).items()
        }
    )


def _rows(name: str, generate: Callable[..., Any], split: str, count: int) -> Iterator[Row]:
    seed = SPLIT_SEEDS[split]
    with _explained(f"generator: {name}: generate({count}, seed={seed})"):
        for index, row in enumerate(generate(count, seed=seed)):
            place = f"{name} row {index} of {split}"
            if index == count:
                raise SourceError(f"{place}: is one more than the {count} asked for; stop there")
            if not isinstance(row, dict):
                raise SourceError(f"{place}: is no mapping of column to value")
            yield place, row


@contextmanager
def _explained(call: str) -> Iterator[None]:
    """Turn what a user's code raises in the block into one line with its place."""
    try:
        yield
    except TunebenchError:
        raise
    except Exception as error:
        frame = extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(
            f"{call} failed: {reason} ({Path(frame.filename).name}, line {frame.lineno}); mend it"
        ) from error
