"""Rows from wherever a data set lives, checked and brought to one form.

A source is a module with two functions: `fingerprint(dataset)`, cheap, which names what the rows
come from, and `read(dataset)`, which gives each split's rows as the source has them.
"""

from __future__ import annotations

from types import ModuleType

from tunebench.config.schema import Dataset
from tunebench.sources import files, generator


def source_of(dataset: Dataset) -> ModuleType:
    """The module that reads a data set's kind of source."""
    return generator if dataset.generator is not None else files
