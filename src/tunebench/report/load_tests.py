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

PERCENTILES = ("latency_p50_s", "latency_p90_s", "latency_p99_s", "time_to_first_token_p50_s",
               "time_to_first_token_p99_s", "client_lag_p99_s")  # fmt: skip
# each with its interval, or with how many requests it needs instead
SECONDS = tuple(
    name
    for percentile in PERCENTILES
    for name in (percentile, *metrics.interval(percentile), f"{percentile}_needs")
)
SUSTAINED = ("sustained_rps", *metrics.interval("sustained_rps"))
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
        known = {name: load_test[name] for name in ("server", "artifact") if name in load_test}
        return {"server": ""} | known | {"sustained_rps": None, "note": note}
    quality = [record.headline, *metrics.interval(record.headline)]
    names = ("artifact", "prefix_cache", "answered_by", *SUSTAINED, "bounded",
             *SECONDS, "prefill_s", "decode_s", *COUNTS, *quality, "answers_that_differ",
             *TOKENS)  # fmt: skip
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
    if all(load_test.get(name) for name in TOKENS):
        dollars |= _per_token(load_test, prices.usd_per_1k_requests(rps, price) / 1000)
    return {name: results.rounded(value, 4) for name, value in dollars.items()}


def _per_token(load_test: results.Metrics, usd_per_request: float) -> dict[str, float]:
    """Dollars of a million tokens in and out, which add up to the price of a request.

    It is divided as the seconds of a request alone are: prefill reads, decoding writes.
    """
    prefill, decode = load_test["prefill_s"], load_test["decode_s"]
    usd_in = usd_per_request * prefill / (prefill + decode)
    return {
        "usd_per_1m_tokens_in": 1e6 * usd_in / load_test["tokens_in_mean"],
        "usd_per_1m_tokens_out": 1e6 * (usd_per_request - usd_in) / load_test["tokens_out_mean"],
    }


def _rates(load_test: results.Metrics) -> Iterator[Row]:
    for rate in load_test.get("rates", {}).values():
        # a column for each percentile that some rate has
        late = [name for name in rate if name.startswith("late_")]
        names = ("offered_rps", "achieved_rps", *COUNTS, *late, *SECONDS)
        yield {name: rate[name] for name in names if name in rate} | {"verdict": rate["verdict"]}
