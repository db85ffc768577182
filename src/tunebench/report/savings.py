"""By how much one run costs less than another, in words: labels, training, requests."""

from __future__ import annotations

from collections.abc import Iterator

from tunebench.report.digits import cell
from tunebench.report.prices import Usd
from tunebench.report.recommendation import Candidate


def savings(dear: Candidate, cheap: Candidate) -> str:
    """`$1.2 instead of $2.4 in all, training $0.1 instead of $0.2, requests about the same`.

    In dollars of the machine where it has a price, else in its time. What the intervals of the
    timings do not tell apart is `about the same`. Empty if one of the two was not timed.
    """
    if dear.machine_s is None or cheap.machine_s is None:
        return ""
    total, parts = f"{cost(cheap)} instead of {cost(dear)}", list(filter(None, _parts(dear, cheap)))
    return ", ".join([f"{total} in all", *parts]) if len(parts) > 1 else total


def cost(candidate: Candidate) -> str:
    """What a run costs in all: dollars where there is a price, else time of the machine."""
    if candidate.usd is not None:
        return cell(candidate.usd, "usd")
    return "not timed" if candidate.machine_s is None else duration(candidate.machine_s)


def duration(seconds: float) -> str:
    """Time of a machine, in the unit that suits it.

    >>> duration(16.42), duration(754), duration(9000)
    ('16.4 s', '12.6 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:,.3g} h"


def _parts(dear: Candidate, cheap: Candidate) -> Iterator[str]:
    labels = [each.usd_for_labels for each in (cheap, dear) if each.usd_for_labels is not None]
    if labels:
        yield _compared("labels", *map(Usd.exact, labels), dollars=True)
    dollars = dear.usd_per_s > 0
    unit = dear.usd_per_s if dollars else 1.0
    assert cheap.requests_s is not None
    assert dear.requests_s is not None
    yield _compared(
        "training", cheap.training_s.times(unit), dear.training_s.times(unit), dollars=dollars
    )
    yield _compared(
        "requests", cheap.requests_s.times(unit), dear.requests_s.times(unit), dollars=dollars
    )


def _compared(name: str, cheap: Usd, dear: Usd, *, dollars: bool) -> str:
    difference = dear - cheap
    if not cheap.usd and not dear.usd:
        return ""
    if difference.low <= 0 <= difference.high:
        return f"{name} about the same"
    here, there = (
        cell(each.usd, "usd") if dollars else duration(each.usd) for each in (cheap, dear)
    )
    return f"{name} {here} instead of {there}" if cheap.usd else f"no {name} instead of {there}"
