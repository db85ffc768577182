"""The tables `load_test` (the highest rate that meets the objective) and `rates` (all of them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tunebench import metrics, paths, results
from tunebench.config.schema import Params
from tunebench.models import outcomes
from tunebench.paths import Run
from tunebench.report import prices
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

SECONDS = ("latency_p50_s", "latency_p90_s", "latency_p99_s", "time_to_first_token_p50_s",
           "time_to_first_token_p99_s", "client_lag_p99_s")  # fmt: skip
COUNTS = ("requests", "errors", "timeouts")
TOKENS = ("tokens_in_mean", "tokens_out_mean")
UTILIZATIONS = (1.0, 0.5, 0.1)


def build(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """The tables `load_test` and `rates`; none if nothing was load-tested.

    Raises:
        SourceError: if the results of a load test are missing.
    """
    tested = list(_tested(records, params))
    price = params.hardware.usd_per_hour
    tables = {
        "load_test": [
            _place(record) | _answer(record, load_test, price) for record, load_test in tested
        ],
        "rates": [
            _place(record) | row for record, load_test in tested for row in _rates(load_test)
        ],
    }
    return {name: rows for name, rows in tables.items() if rows}


def is_tested(record: Record, params: Params) -> bool:
    """Whether `inference.load_test` names this point of the grid."""
    chosen = params.inference.load_test
    names = chosen.prompting if record.train_size == NO_ROWS else chosen.tuning
    size = record.train_size in (NO_ROWS, str(params.inference.train_size))
    return size and record.method in names


def _tested(records: Sequence[Record], params: Params) -> Iterator[tuple[Record, results.Metrics]]:
    for record in records:
        if is_tested(record, params):
            run = Run(record.model, record.dataset, record.method)
            yield record, results.read(paths.load_test(run))


def _place(record: Record) -> Row:
    return {"model": record.model, "dataset": record.dataset, "method": record.method}


def _answer(record: Record, load_test: results.Metrics, price: float) -> Row:
    if note := outcomes.note(load_test):
        return {"server": load_test.get("server", ""), "sustained_rps": None, "note": note}
    quality = [record.headline, *metrics.interval(record.headline)]
    names = ("artifact", "prefix_cache", "sustained_rps", "bounded", *SECONDS, *COUNTS, *quality,
             "answers_that_differ", *TOKENS)  # fmt: skip
    row: dict[str, Any] = {name: load_test[name] for name in names if name in load_test}
    row["bounded"] = "yes" if load_test["bounded"] else "no"
    return {"server": load_test["server"], **row, **record.caveat, **_prices(load_test, price)}


def _prices(load_test: results.Metrics, price: float) -> Row:
    """Dollars by the machine's utilization; absent if it has no price."""
    if not price:
        return {}
    rps = load_test["sustained_rps"]
    dollars = {
        f"usd_per_1k_requests_at_{100 * share:.0f}_percent": prices.usd_per_1k_requests(
            share * rps, price
        )
        for share in UTILIZATIONS
    }
    for name in TOKENS:
        if load_test.get(name):
            per_token = prices.usd_per_1k_requests(rps * load_test[name], price) / 1000
            dollars[f"usd_per_1m_{name.removesuffix('_mean')}"] = 1e6 * per_token
    return {name: results.rounded(value, 4) for name, value in dollars.items()}


def _rates(load_test: results.Metrics) -> Iterator[Row]:
    names = ("offered_rps", "achieved_rps", *COUNTS, *SECONDS)
    for rate in load_test.get("rates", {}).values():
        yield {name: rate.get(name) for name in names} | {"holds": "yes" if rate["holds"] else "no"}
