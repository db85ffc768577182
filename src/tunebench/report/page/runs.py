"""Every point of the grid with what a reader may ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from tunebench import metrics
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import costs, digits, recommendation, throughput
from tunebench.report.page.axes import AXES, BY_NAME, Axis
from tunebench.report.prices import Usd
from tunebench.report.recommendation import Candidate, Recommendation
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import NO_ROWS, Record


@dataclass(frozen=True)
class Measure:
    """A number in the unit of its axis, with its 95% interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The number and its interval, for people."""
        return digits.with_interval(self.value, self.low, self.high)


@dataclass(frozen=True)
class PageRun:
    """A record as the page knows it.

    `key` is its name in a link; `once` and `each` what it costs before the first request and for
    each, in dollars or else in seconds of the machine, None where that was not measured; `good`
    whether the test rows do not tell it from the data set's best; `chosen` whether it is the one
    to use.
    """

    id: int
    key: str
    label: str
    record: Record
    run: Run
    measures: dict[str, Measure] = field(default_factory=dict)
    once: Usd | None = None
    each: Usd | None = None
    good: bool = False
    chosen: bool = False

    @property
    def dataset(self) -> str:
        """Its data set's name."""
        return self.record.dataset

    @property
    def score(self) -> Measure | None:
        """Its headline metric in per cent; None where it has none."""
        return self.measures.get(self.record.headline)

    @property
    def rank(self) -> float:
        """A key that orders runs, the highest score first and those without one last."""
        return -self.score.value if self.score else inf

    def as_json(self) -> dict[str, Any]:
        """What the page's scripts read."""
        record = self.record
        return {
            "id": self.id, "key": self.key, "label": self.label, "dataset": record.dataset,
            "model": record.model, "method": record.method, "size": record.train_size,
            "rows": record.train_rows, "once": _ends(self.once), "each": _ends(self.each),
            "good": self.good, "chosen": self.chosen, "score": self.score and self.score.value,
            "measures": {
                name: [_short(measure.value), _short(measure.low), _short(measure.high),
                       measure.text]
                for name, measure in self.measures.items()
            },
        }  # fmt: skip


def build(
    params: Params, records: Sequence[Record], scores: ScoreBook | None = None
) -> list[PageRun]:
    """A run of the page for each record, in the records' order.

    Args:
        scores: of the runs, as far as they are read already.
    """
    found = {
        name: recommendation.among(
            params, [record for record in records if record.dataset == name], scores=scores
        )
        for name in params.grid.datasets
    }
    timed = {_method(record): record for record in records if throughput.is_timed(record, params)}
    labels = _labels(records)
    return [
        _run(index, record, labels[index], timed.get(_method(record)), found[record.dataset],
             params)
        for index, record in enumerate(records)
    ]  # fmt: skip


def priced(params: Params) -> bool:
    """Whether costs are in dollars, as `recommendation` decides it."""
    return bool(params.hardware.usd_per_hour) or params.cost is not None


def axes(runs: Sequence[PageRun]) -> list[Axis]:
    """The measures that at least one of the runs has."""
    names = {name for run in runs for name in run.measures}
    return [axis for axis in AXES if axis.name in names]


def _method(record: Record) -> tuple[str, str, str]:
    return record.model, record.dataset, record.method


def _run(
    index: int, record: Record, label: str, timed: Record | None, found: Recommendation | None,
    params: Params,
) -> PageRun:  # fmt: skip
    key = "/".join(_place(record))
    own = next((each for each in found.candidates if each.record is record), None) \
        if found else None  # fmt: skip
    once, each = _cost(own) if own else (None, None)
    return PageRun(
        index, key, label, record, recommendation.runs_of(params, record)[0],
        _measures(record, timed, params), once, each,
        good=own is not None and own.as_good,
        chosen=own is not None and found is not None and own is found.chosen,
    )  # fmt: skip


def _place(record: Record) -> tuple[str, ...]:
    return (*_method(record), record.train_size)


def _labels(records: Sequence[Record]) -> list[str]:
    """A name for each record that is its own within its data set."""
    several = len({record.model for record in records if not record.beside_models}) > 1
    plain = []
    for record in records:
        rows = "" if record.train_size == NO_ROWS else f", {record.train_rows:,} rows"
        model = f"{record.model}: " if several and not record.beside_models else ""
        marked = " (optimistic)" if record.optimistic else ""
        plain.append(f"{model}{record.method}{rows}{marked}")
    places = [(record.dataset, label) for record, label in zip(records, plain, strict=True)]
    return [
        label if places.count(place) == 1 else f"{label} ({record.train_size})"
        for record, label, place in zip(records, plain, places, strict=True)
    ]


def _measures(record: Record, timed: Record | None, params: Params) -> dict[str, Measure]:
    """All measures by the names of their axes.

    A method answers as fast whatever it was trained on, so one size of it is timed: all others have
    its serving measures.
    """
    if not record.quality:
        return {}
    values: dict[str, Any] = {**record.quality, **record.training, "train_rows": record.train_rows}
    if record.train_size == NO_ROWS:  # they cost nothing, which is a result
        values |= {"machine_s": 0.0, "adapter_bytes": 0}
    if priced(params):
        if params.hardware.usd_per_hour:
            values.setdefault("usd_to_train", 0.0)
        if params.cost is not None:
            values["usd_for_labels"] = costs.labels(record, params)
    if timed is not None:
        values |= _served(timed)
    return {
        axis.name: _measure(values, axis)
        for axis in BY_NAME.values()
        if values.get(axis.name) is not None
    }


def _served(timed: Record) -> dict[str, Any]:
    """How a timed method answers: merged where there is that form, since it would be deployed."""
    merged = "merged_latency_p50_s" in timed.inference
    form = {
        name.removeprefix("merged_"): value
        for name, value in timed.inference.items()
        if name.startswith("merged_") is merged
    }
    served = throughput.in_process(timed)
    if served.note:
        return form
    slow, fast = served.interval
    names = ("s_per_1k_requests", *metrics.interval("s_per_1k_requests"))
    rates = (served.requests_per_s, fast, slow)
    return form | {
        name: 1000 / rate for name, rate in zip(names, rates, strict=True) if 0 < rate < 1e300
    }


def _measure(values: dict[str, Any], axis: Axis) -> Measure:
    low, high = (values.get(end) for end in metrics.interval(axis.name))
    return Measure(
        values[axis.name] * axis.factor,
        None if low is None else low * axis.factor,
        None if high is None else high * axis.factor,
    )


def _cost(own: Candidate) -> tuple[Usd, Usd | None]:
    """What a run costs before its first request and for each, as `recommendation` counts it."""
    in_dollars = own.usd_per_s or own.usd_for_labels is not None
    rate = own.usd_per_s if in_dollars else 1.0
    once = own.training_s.times(rate) + Usd.exact(own.usd_for_labels or 0.0)
    answering = own.requests_s and own.requests_s.times(rate / recommendation.REQUESTS)
    return once, answering


def _ends(amount: Usd | None) -> list[float | None] | None:
    """An amount and its interval; an end that is unknown is None."""
    if amount is None:
        return None
    return [_short(each) if isfinite(each) else None for each in (amount.usd, amount.low,
                                                                  amount.high)]  # fmt: skip


def _short(number: float | None) -> float | None:
    """A number with the six digits that a chart can show."""
    return None if number is None else float(f"{number:.6g}")
