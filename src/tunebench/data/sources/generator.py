"""Rows from a Python module: `generate(rows, *, seed)` returns that many mappings.

Any importable module will do. Splits use different seeds, so they share rows only by chance.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tunebench.config.data import Dataset
from tunebench.data.sources.fingerprints import digests
from tunebench.data.sources.rows import OpenedSource
from tunebench.errors import SourceError

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
    """Each split's rows, each with a name for messages about it."""
    module = import_module(str(dataset.generator))
    if not callable(getattr(module, "generate", None)):
        raise SourceError(f"generator: {dataset.generator} has no function generate(rows, *, seed)")
    splits = {
        str(split): (
            (f"{dataset.generator} row {index} of {split}", row)
            for index, row in enumerate(module.generate(rows, seed=SPLIT_SEEDS[split]))
        )
        for split, rows in (dataset.rows or {}).items()
    }
    return OpenedSource(splits)
