"""What a source gives when it is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# where a row stands, for messages about it, and its cells by column
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Opened:
    """Each split's rows, read as they are asked for, and what the source says of itself.

    `revision` is the commit that a repository's name was resolved to; `label_names` are the names
    that the source itself gives to its integer labels, `licence` the one that it states, and
    `sha256` the hash of each file, where it is known only now. `quotes_as_text` names the files in
    which quotes were found to be text.
    """

    splits: Mapping[str, Iterable[Row]]
    revision: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    quotes_as_text: Sequence[str] = ()
