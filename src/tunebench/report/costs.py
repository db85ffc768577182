"""Total cost of a method: labels, training and requests, for few requests and for many.

A request is charged its share of a fully used machine at the measured throughput. An idle machine
costs more: the table `demand` counts whole machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from tunebench import metrics, results
from tunebench.config.schema import Params, PromptingMethod
from tunebench.report import prices, summary, throughput
from tunebench.report.load_tests import is_tested
from tunebench.report.prices import Bill, Usd
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
    usd_to_train: Usd
    usd_for_labels: float | None  # None where params.yaml has no price of a label
    usd_per_1k_requests: Usd

    @property
    def bill(self) -> Bill:
        """The one-off price, and that of requests."""
        labels = Usd.exact(self.usd_for_labels or 0)
        return Bill(self.usd_to_train + labels, self.usd_per_1k_requests)

    @property
    def place(self) -> tuple[str, str]:
        """Model and data set, within which methods are compared."""
        return self.record.model, self.record.dataset


def build(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """The table `costs`; none if neither the machine nor a label has a price.

    A load-tested method is shown with the quality of what its server answered.
    """
    if not params.hardware.usd_per_hour and params.cost is None:
        return {}
    return {
        "costs": [
            _costs(record, served, params) for record, served in throughput.timed(records, params)
        ]
    }


def plot(records: Sequence[Record], params: Params) -> dict[str, list[Row]]:
    """Data of the DVC plot `costs`: total cost by number of requests, a line for each method.

    The lines of a panel are measured in the same way.
    """
    rows = []
    timed = [record for record in records if throughput.is_timed(record, params)]
    for place in product(params.grid.models, params.grid.datasets):
        group = summary.of_model(timed, *place)
        rows += [
            {
                "panel": ", ".join(place),
                "method": choice.record.method,
                "requests": requests,
                "usd": results.rounded(choice.bill.at(requests).usd, 4),
            }
            for choice in alike(group, params)
            for requests in DRAWN
        ]
    return {"costs": rows}


def alike(records: Sequence[Record], params: Params) -> list[Choice]:
    """Choices whose requests were measured in the same way, of the records that have a price.

    By load tests if all of them have one, else in process; none if the machine has no price.
    """
    if not params.hardware.usd_per_hour:
        return []
    tested = all(is_tested(record, params) for record in records)
    measured = throughput.behind_server if tested else throughput.in_process
    pairs = [(record, measured(record)) for record in records]
    return [_choice(record, served, params) for record, served in pairs if not served.note]


def _choice(record: Record, served: Throughput, params: Params) -> Choice:
    machine = params.hardware
    trained = record.training.get("usd_to_train", 0.0)
    return Choice(
        record,
        served,
        usd_to_train=prices.measured(trained, (trained, trained), machine.repeatability),
        usd_for_labels=None if params.cost is None else labels(record, params),
        usd_per_1k_requests=prices.of_1k_requests(served.requests_per_s, served.interval, machine),
    )


def labels(record: Record, params: Params) -> float:
    """Dollars for the labelled rows of a method: solved examples, or training and validation."""
    method = params.any_method(record.method)
    # validation rows are disjoint from the training rows of the same seed
    rows = (
        method.shots
        if isinstance(method, PromptingMethod)
        else record.train_rows + params.dataset(record.dataset).validation_rows
    )
    return rows * (params.cost.usd_per_label if params.cost else 0.0)


def _costs(record: Record, served: Throughput, params: Params) -> Row:
    row = {**throughput.place(record), **_quality(record, served), **record.caveat}
    if served.note:  # what was spent on it until then
        return row | {"usd_to_train": record.training.get("usd_to_train"), "note": served.note}
    return row | _prices(_choice(record, served, params), params)


def _prices(choice: Choice, params: Params) -> Row:
    """Dollars, those of a machine only if it has a price."""
    labels, priced = choice.usd_for_labels, params.hardware.usd_per_hour > 0
    once = {"usd_to_train": results.rounded(choice.usd_to_train.usd, 4)} if priced else {}
    answers = _requests(choice) if priced else {}
    return {
        **once,
        **({} if labels is None else {"usd_for_labels": results.rounded(labels, 4)}),
        **answers,
        "measured_by": choice.served.measured_by,
        **({"repeatability": params.hardware.repeatability} if priced else {}),
        **choice.served.tokens,
    }


def _quality(record: Record, served: Throughput) -> Row:
    """The headline metric of the answers that are priced."""
    quality = served.quality or record.quality
    low, high = metrics.interval(record.headline)
    names = {"measured": record.headline, "low": low, "high": high}
    return {
        "metric": record.headline,
        **{name: quality.get(metric) for name, metric in names.items()},
    }


def _requests(choice: Choice) -> Row:
    """The price of a thousand requests, and of all, each with its interval."""
    dollars = {
        "usd_per_1k_requests": choice.usd_per_1k_requests,
        **{f"usd_at_{name}": choice.bill.at(requests) for name, requests in TOTALS.items()},
    }
    return dict(cell for name, usd in dollars.items() for cell in _with_interval(name, usd))


def _with_interval(name: str, usd: Usd) -> Iterator[tuple[str, float]]:
    ends = zip(metrics.interval(name), (usd.low, usd.high), strict=True)
    for column, value in ((name, usd.usd), *ends):
        yield column, results.rounded(value, 4)
