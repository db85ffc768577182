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
    width = max((len(finding.name) for finding in findings), default=0)
    for section, group in groupby(findings, key=lambda finding: finding.section):
        yield section
        for finding in group:
            yield f"  {finding.level:<8} {finding.name:<{width}}  {finding.text}".rstrip()
            if finding.remedy:
                yield f"  {'':<8} {'':<{width}}  {MEND}{finding.remedy}"
    yield conclusion(findings)


def conclusion(findings: Sequence[Finding]) -> str:
    """The last line: how many faults and warnings, and what follows."""
    counts = {
        level: sum(finding.level == level for finding in findings) for level in ("fault", "warning")
    }
    named = [f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count]
    state = "ready" if usable(list(findings)) else "not ready"
    return f"tunebench {_own_version()} is {state}{': ' if named else ''}{', '.join(named)}"


def show(findings: Sequence[Finding]) -> None:
    """Print them: wrapped and coloured in a terminal, a line each elsewhere."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print(*lines(findings), sep="\n")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        print(*lines(findings), sep="\n")
        return
    for section, group in groupby(findings, key=lambda finding: finding.section):
        console.print(Text(section, "bold"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=8)
        table.add_column(min_width=max(len(finding.name) for finding in findings))
        table.add_column(overflow="fold")
        for finding in group:
            text = Text(finding.text)
            if finding.remedy:
                text.append(f"\n{MEND}{finding.remedy}", "cyan")
            table.add_row(Text(finding.level, STYLES[finding.level]), finding.name, text)
        console.print(table)
    console.print(Text(conclusion(findings), "bold"))


def _own_version() -> str:
    try:
        return version("tunebench")
    except PackageNotFoundError:
        return "(not installed)"
