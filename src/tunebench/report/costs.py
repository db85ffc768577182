"""Total cost of a method: labels, training and requests, for few requests and for many.

A request is charged its share of a fully used machine at the measured throughput. An idle machine
costs more: the table `demand` counts whole machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tunebench import metrics, results
from tunebench.config.schema import Params, PromptingMethod
from tunebench.report import prices, throughput
from tunebench.report.prices import Bill
from tunebench.report.summary import Record
from tunebench.report.tables import Row
from tunebench.report.throughput import Throughput

TOTALS = {"1k": 10**3, "10k": 10**4, "100k": 10**5, "1m": 10**6, "10m": 10**7}
# enough points to show where requests come to cost more than training
DRAWN = [*(digit * 10**power for power in (3, 4, 5, 6) for digit in (1, 2, 3, 5, 7)), 10**7]


@dataclass(frozen=True)
class Choice:
    """A method and its price in dollars."""

    record: Record
    served: Throughput
    usd_to_train: float
    usd_for_labels: float | None  # None where params.yaml has no price of a label
    usd_per_1k_requests: float

    @property
    def bill(self) -> Bill:
        """The one-off price, and that of requests."""
        return Bill(self.usd_to_train + (self.usd_for_labels or 0), self.usd_per_1k_requests)

    @property
    def place(self) -> tuple[str, str]:
        """Model and data set, within which methods are compared."""
        return self.record.model, self.record.dataset


def build(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """The tables `costs` and `break_even`; none if the machine has no price."""
    if not params.hardware.usd_per_hour:
        return {}
    costs = [_costs(record, served, params) for record, served in throughput.timed(records, params)]
    pairs = list(_break_even(choices(records, params)))
    return {"costs": costs} | ({"break_even": pairs} if pairs else {})


def plot(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """Data of the DVC plot `costs`: total cost by number of requests, a line for each method."""
    rows = [
        {
            "panel": ", ".join(choice.place),
            "method": choice.record.method,
            "requests": requests,
            "usd": results.rounded(choice.bill.usd_at(requests), 4),
        }
        for choice in choices(records, params)
        for requests in DRAWN
    ]
    return {"costs": rows}


def choices(records: Sequence[Record], params: Params) -> list[Choice]:
    """The methods that have a score and a throughput; none if the machine has no price."""
    timed = throughput.timed(records, params) if params.hardware.usd_per_hour else []
    return [_choice(record, served, params) for record, served in timed if not served.note]


def _choice(record: Record, served: Throughput, params: Params) -> Choice:
    price, labels = params.hardware.usd_per_hour, _labels(record, params)
    return Choice(
        record,
        served,
        usd_to_train=record.training.get("usd_to_train", 0.0),
        usd_for_labels=None if params.cost is None else labels * params.cost.usd_per_label,
        usd_per_1k_requests=results.rounded(
            prices.usd_per_1k_requests(served.requests_per_s, price), 4
        ),
    )


def _labels(record: Record, params: Params) -> int:
    """Labelled rows that a method uses: its solved examples, or training and validation rows."""
    method = params.method(record.method)
    if isinstance(method, PromptingMethod):
        return method.shots
    # validation rows are disjoint from the training rows of the same seed
    return record.train_rows + params.dataset(record.dataset).validation_rows


def _costs(record: Record, served: Throughput, params: Params) -> Row:
    failed = {"usd_to_train": None, "note": served.note}
    return {
        **throughput.place(record),
        **_quality(record),
        **(failed if served.note else _prices(_choice(record, served, params))),
    }


def _quality(record: Record) -> Row:
    low, high = metrics.interval(record.headline)
    names = {"measured": record.headline, "low": low, "high": high}
    return {
        "metric": record.headline,
        **{name: record.quality.get(metric) for name, metric in names.items()},
    }


def _prices(choice: Choice) -> Row:
    labels = choice.usd_for_labels
    return {
        "usd_to_train": choice.usd_to_train,
        **({} if labels is None else {"usd_for_labels": results.rounded(labels, 4)}),
        "usd_per_1k_requests": choice.usd_per_1k_requests,
        "measured_by": choice.served.measured_by,
        **choice.served.tokens,
        **{
            f"usd_at_{name}": results.rounded(choice.bill.usd_at(requests), 4)
            for name, requests in TOTALS.items()
        },
    }


def _break_even(chosen: Sequence[Choice]) -> Iterator[Row]:
    for first, second in combinations(chosen, 2):
        if first.place == second.place:
            yield {
                "model": first.record.model,
                "dataset": first.record.dataset,
                "method": first.record.method,
                "other": second.record.method,
                **_cheaper(first, second),
            }


def _cheaper(first: Choice, second: Choice) -> Row:
    """Which of two is cheaper below and above the break-even, or for any number of requests."""
    both = (first, second)
    low = min(both, key=lambda choice: (choice.bill.usd_per_1k_requests, choice.bill.usd_once))
    high = second if low is first else first
    requests = prices.requests_to_overtake(first.bill, second.bill)
    always = "" if requests else "neither" if first.bill == second.bill else low.record.method
    return {
        "cheaper_below": high.record.method if requests else "",
        "cheaper_above": low.record.method if requests else "",
        "requests": requests,
        "always_cheaper": always,
    }
