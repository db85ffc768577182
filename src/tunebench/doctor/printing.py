"""The findings as aligned text, coloured in a terminal, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

from tunebench.doctor.findings import Finding, usable

STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}
MEND = "mend: "


def as_json(findings: Sequence[Finding]) -> str:
    """All findings with their numbers: bytes, counts, names."""
    content = {
        "tunebench": _own_version(),
        "usable": usable(list(findings)),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Plain text: a line for each finding, and the command that mends it below."""
    for parts in _styled(findings):
        yield "".join(text for text, _ in parts).rstrip()


def _styled(findings: Sequence[Finding]) -> Iterator[list[tuple[str, str]]]:
    """The lines, each as parts with rich's name of their style."""
    width = max((len(finding.name) for finding in findings), default=0)
    for section, group in groupby(findings, key=lambda finding: finding.section):
        yield [(section, "bold")]
        for finding in group:
            level = (f"  {finding.level:<8} ", STYLES[finding.level])
            yield [level, (f"{finding.name:<{width}}  {finding.text}", "")]
            if finding.remedy:
                yield [(" " * (width + 13), ""), (MEND + finding.remedy, "cyan")]
    yield [(conclusion(findings), "bold")]


def conclusion(findings: Sequence[Finding]) -> str:
    """The last line: how many faults and warnings, and what follows."""
    counts = {
        level: sum(finding.level == level for finding in findings) for level in ("fault", "warning")
    }
    named = [f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count]
    state = "ready" if usable(list(findings)) else "not ready"
    return f"tunebench {_own_version()} is {state}{': ' if named else ''}{', '.join(named)}"


def show(findings: Sequence[Finding]) -> None:
    """Print them, coloured in a terminal; no line is cut, so that commands can be copied."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        print(*lines(findings), sep="\n")
        return
    console = Console(highlight=False)
    for parts in _styled(findings):
        console.print(Text.assemble(*parts), soft_wrap=True)


def _own_version() -> str:
    try:
        return version("tunebench")
    except PackageNotFoundError:
        return "(not installed)"
