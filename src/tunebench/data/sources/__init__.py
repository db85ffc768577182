"""Rows from files, the Hugging Face Hub or a generator, in one form.

A source is a module with two functions. `fingerprint(dataset)` identifies the rows, cheaply and
without a network. `open_rows(dataset, pinned=…)` returns the rows; `pinned` is the revision that an
earlier download of the same source resolved to.
"""

from __future__ import annotations

from types import ModuleType

from tunebench.config.data import Dataset
from tunebench.data.sources import files, generator, hub


def source_of(dataset: Dataset) -> ModuleType:
    """The module for a data set's kind of source."""
    if dataset.hub is not None:
        return hub
    return generator if dataset.generator is not None else files
