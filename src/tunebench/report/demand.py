"""How many machines a request rate needs, and their monthly cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebench import results
from tunebench.config.schema import Params
from tunebench.report import prices, throughput
from tunebench.report.summary import Record
from tunebench.report.tables import Row
from tunebench.report.throughput import Throughput


def build(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """The table `demand`: machines for `inference.demand_rps`; none if that is not set.

    `usd_per_month` is their cost for 730 hours; absent if the machine has no price.
    """
    rows = list(_rows(records, params))
    return {"demand": rows} if rows else {}


def _rows(records: Sequence[Record], params: Params) -> Iterator[Row]:
    demand = params.inference.demand_rps
    for record, served in throughput.timed(records, params) if demand else []:
        failed = {"requests_per_s": None, "note": served.note}
        yield throughput.place(record) | (failed if served.note else _machines(served, params))


def _machines(served: Throughput, params: Params) -> Row:
    demand, margin = params.inference.demand_rps, params.inference.demand_margin
    assert demand is not None
    price = params.hardware.usd_per_hour
    count = prices.machines(demand, margin, served.requests_per_s)
    monthly = results.rounded(prices.usd_per_month(count, price))
    return {
        "requests_per_s": served.requests_per_s,
        "measured_by": served.measured_by,
        "demand_rps": demand,
        "margin": margin,
        "machines": count,
        **({"usd_per_month": monthly} if price else {}),
    }
