"""What a check found: ok, a warning or a fault, in one line, with the command that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line. A fault makes a run fail; with a warning, only some of it may.

    `remedy` is a command, or what to do where there is none; `values` are its numbers for programs.
    """

    section: str
    name: str
    level: Level
    text: str
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def ok(section: str, name: str, text: str, **values: Any) -> Finding:
    """Nothing to do."""
    return Finding(section, name, "ok", text, values=values)


def warning(section: str, name: str, text: str, *, remedy: str, **values: Any) -> Finding:
    """Some runs may fail, or their results be in doubt."""
    return Finding(section, name, "warning", text, remedy, values)


def fault(section: str, name: str, text: str, *, remedy: str, **values: Any) -> Finding:
    """No run works before it is mended."""
    return Finding(section, name, "fault", text, remedy, values)


def usable(findings: list[Finding]) -> bool:
    """Whether there is no fault among them."""
    return not any(finding.level == "fault" for finding in findings)


def size(count: float) -> str:
    """Bytes as a reader says them.

    >>> size(20_100_000_000)
    '20.1 GB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
