"""Rows from wherever a data set lives, checked and brought to one form.

A source is a module with two functions: `fingerprint(dataset)`, cheap and without a network, which
names what the rows come from, and `open_rows(dataset, pinned=…)`, which gives them as the source
has them; `pinned` is the revision that an earlier download of the same source was resolved to.
"""

from __future__ import annotations

from types import ModuleType

from tunebench.config.data import Dataset
from tunebench.data.sources import files, generator, hub


def source_of(dataset: Dataset) -> ModuleType:
    """The module that reads a data set's kind of source."""
    if dataset.hub is not None:
        return hub
    return generator if dataset.generator is not None else files
