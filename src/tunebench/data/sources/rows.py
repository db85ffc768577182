"""The rows and metadata of an opened source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# a row's place, for messages about it, and its cells by column
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class OpenedSource:
    """Each split's rows, read lazily, and the source's metadata.

    `revision` is the resolved commit of a repository; `label_names` are the source's own names of
    its integer labels; `licence` is the stated one; `sha256` has the hash of each file, if it is
    not in the fingerprint already. `quotes_as_text` lists the files whose quotes are text.
    """

    splits: Mapping[str, Iterable[Row]]
    revision: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    quotes_as_text: Sequence[str] = ()
