"""What `tunebench compare` prints: aligned text, or Markdown for a pull request."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tunebench.report import compare
from tunebench.report.compare import Change, Changes, Parameter
from tunebench.report.digits import cell
from tunebench.report.headlines import COSTS

LONGEST = 60  # characters of a parameter's value
LEAST = 0.001  # a smaller p is not told apart
UNREMARKABLE = (compare.SAME, compare.NOISE)
NOTHING = "nothing"
# headers of the tables in Markdown; arrows have no column there
PARAMETER = ("parameter", "before", "", "after")
SCORE = ("run", "metric", "from", "", "to", "difference (95%)", "verdict")
CODE = ("parameter", "before", "after", "run", "metric")


def lines(before: str, after: str | None, *, markdown: bool) -> Iterator[str]:
    """The changes from a revision to another, or to the working tree.

    Raises:
        ParameterError, SourceError: as `compare.between`.
    """
    changes = compare.between(before, after)
    yield from as_markdown(changes) if markdown else as_text(changes)


def as_text(changes: Changes) -> Iterator[str]:
    """For a terminal."""
    yield f"From {changes.before} to {changes.after}"
    for title, rows in _sections(changes):
        yield ""
        yield title
        yield from (f"  {line}" for line in _aligned(rows))
    yield from ("", *remarks) if (remarks := list(_remarks(changes))) else ()


def as_markdown(changes: Changes) -> Iterator[str]:
    """For a pull request: sections with GitHub's tables."""
    yield f"### From {_plain(changes.before)} to {_plain(changes.after)}"
    for title, rows in _sections(changes):
        yield from ("", f"**{title}**")
        if rows:
            headers = PARAMETER if len(rows[0]) == len(PARAMETER) else SCORE
            columns = [number for number, name in enumerate(headers) if name]
            yield from (
                "",
                _cells(headers[number] for number in columns),
                "|---" * len(columns) + "|",
            )
            for row in rows:
                yield _cells(
                    _code(row[number]) if headers[number] in CODE else _plain(row[number])
                    for number in columns
                )
    yield from ("", *remarks) if (remarks := list(_remarks(changes))) else ()


def _sections(changes: Changes) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Title and rows of each; a row that is the same or within noise is counted, not shown."""
    parameters = [_parameter(each) for each in changes.parameters]
    yield f"Parameters: {len(parameters) or NOTHING} changed", parameters
    shown = [change for change in changes.scores if change.verdict != compare.SAME]
    yield f"Scores: {_counted(changes.scores)}", [_row(change) for change in shown]
    for title, numbers in (("Further scores", changes.further), ("Costs", changes.costs)):
        told = [change for change in numbers if change.verdict not in UNREMARKABLE]
        if numbers:
            yield f"{title}: {_counted(numbers)}", [_row(change) for change in told]


def _counted(changes: Sequence[Change]) -> str:
    """`2 better, 3 within noise, 7 the same`."""
    counts = Counter(change.verdict for change in changes)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "none"


def _parameter(parameter: Parameter) -> tuple[str, ...]:
    before, after = (_value(value) for value in (parameter.before, parameter.after))
    if before == after:  # they differ where they are cut off
        before, after = (f"{len(str(value)):,} characters" for value in
                         (parameter.before, parameter.after))  # fmt: skip
    return parameter.name, before, "→", after


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _row(change: Change) -> tuple[str, ...]:
    values = [
        "-" if value is None else cell(value, change.metric)
        for value in (change.before, change.after)
    ]
    p = "" if change.p is None else f", p {change.p:.2g}" if change.p >= LEAST else f", p < {LEAST}"
    note = f": {change.note}" if change.note and not change.by else ""
    return (change.run, change.metric, values[0], "→", values[1], _difference(change),
            f"{change.verdict}{p}{note}")  # fmt: skip


def _difference(change: Change) -> str:
    """In points for a score, in per cent for a cost; with its interval."""
    if change.difference is None:
        return ""
    share = change.metric in COSTS
    difference, *ends = (
        "" if value is None else f"{100 * value:+.3g}%" if share else f"{_tenths(value):+.1f}"
        for value in (change.difference, change.low, change.high)
    )
    return f"{difference} ({ends[0]} to {ends[1]})" if all(ends) else difference


def _tenths(fraction: float) -> float:
    """Points to one digit, without a zero's sign."""
    return round(100 * fraction, 1) + 0.0


def _remarks(changes: Changes) -> Iterator[str]:
    """How many were tested, and why some only by their intervals."""
    tested = [change for change in changes.scores if change.p is not None]
    if len(tested) > 1:
        yield f"p is Holm's, over the {len(tested)} scores that were tested."
    if any(change.verdict not in UNREMARKABLE for change in changes.costs):
        yield (
            f"Costs are judged by hardware.repeatability, {changes.repeatability:g}: raise it where"
            " the same work takes now longer, now shorter."
        )
    reasons = Counter(change.note for change in tested if change.by == compare.INTERVALS)
    for reason, count in reasons.most_common():
        scores = "1 score was" if count == 1 else f"{count} scores were"
        yield f"{scores} compared by the intervals alone, which tells less: {reason}."


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _cells(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _plain(text: str) -> str:
    """Text of which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>#|~@])", r"\\\1", text)


def _code(text: str) -> str:
    """Text as code, fenced by more backticks than it has."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    inner = f" {text} " if "`" in text else text
    return f"{fence}{inner}{fence}".replace("|", "\\|")
