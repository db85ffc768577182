"""From how many requests on one method costs less than another, as far as their prices tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf

from tunebench import results
from tunebench.config.schema import Params
from tunebench.report import costs, throughput
from tunebench.report.costs import Choice
from tunebench.report.prices import Usd
from tunebench.report.summary import Record
from tunebench.report.tables import Row

UNKNOWN = "not distinguishable"


def build(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """The table `break_even`, a row for each two methods on one model and data set.

    Both prices of a row are measured in the same way. `cheaper_below` costs less for fewer requests
    than `requests_low`, `cheaper_above` for more than `requests_high`; between them the intervals
    of the prices do not tell. `always_cheaper` costs less for any number. Empty if the machine has
    no price.
    """
    timed = [record for record in records if throughput.is_timed(record, params)]
    rows = [
        _row(*choices)
        for pair in combinations(timed, 2)
        if pair[0].dataset == pair[1].dataset
        and (pair[0].model == pair[1].model or any(record.beside_models for record in pair))
        and len(choices := costs.alike(pair, params)) == 2
    ]
    return {"break_even": rows} if rows else {}


def _row(first: Choice, second: Choice) -> Row:
    ways = {choice.served.measured_by for choice in (first, second)}
    return {
        "model": first.record.model,
        "dataset": first.record.dataset,
        "method": first.record.method,
        "other": second.record.method,
        "measured_by": ways.pop() if len(ways) == 1 else throughput.IN_PROCESS,
        **cheaper(first, second),
    }


def cheaper(first: Choice, second: Choice) -> Row:
    """Which of two methods costs less for few requests and for many, and from how many on."""
    once = first.bill.once - second.bill.once
    each = (first.bill.per_1k_requests - second.bill.per_1k_requests).times(1 / 1000)
    names = {-1: first.record.method, 1: second.record.method, 0: UNKNOWN}
    row: Row = dict.fromkeys(
        ("cheaper_below", "cheaper_above", "requests", "requests_low", "requests_high",
         "always_cheaper"), ""
    )  # fmt: skip
    if _is_zero(once) or _is_zero(each):  # one of the two decides
        decides = each if _is_zero(once) else once
        equal = _is_zero(once) and _is_zero(each)
        return row | {"always_cheaper": "neither" if equal else names[_sign(decides)]}
    if _sign(once) and _sign(once) * _farthest(each, -_sign(once)) >= 0:
        return row | {"always_cheaper": names[_sign(once)]}
    if _sign(once) == _sign(each) == 0:
        return row | {"always_cheaper": UNKNOWN}
    low, high = _crossing(once, each)
    crosses = _sign(once) * _sign(each) < 0
    return row | {
        "cheaper_below": names[_sign(once)],
        "cheaper_above": names[_sign(each)],
        "requests": _count(-once.usd / each.usd) if crosses else None,
        "requests_low": _count(low) if low else None,
        "requests_high": _count(high) if high < inf else None,
    }


def _crossing(once: Usd, each: Usd) -> tuple[float, float]:
    """The fewest and the most requests at which the two may cost the same; 0 and inf if unknown."""
    sign = _sign(once) or -_sign(each)  # of the one-off difference where they cross
    least, most = (abs(_farthest(once, side)) for side in (-sign, sign))
    gain, gain_at_most = (abs(_farthest(each, side)) for side in (sign, -sign))
    low = least / gain_at_most if _sign(once) else 0.0
    high = most / gain if _sign(each) else inf
    return low, high


def _farthest(difference: Usd, side: int) -> float:
    """The end of a difference's interval on one side: -1 or 1."""
    return difference.low if side < 0 else difference.high


def _sign(difference: Usd) -> int:
    """-1 if the first costs less, 1 if it costs more, 0 if the interval holds zero."""
    return (difference.low > 0) - (difference.high < 0)


def _is_zero(difference: Usd) -> bool:
    return difference.low == difference.usd == difference.high == 0


def _count(requests: float) -> int:
    """A number of requests, to two digits."""
    return int(results.rounded(requests, 2))
