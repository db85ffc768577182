"""Learning curves: the score by training rows, and what more rows would bring.

Where a method was tuned on three sizes or more, a power law is fitted to its error, one minus the
headline metric (`power_law`). It is read no further than at four times the largest size, and not
at all where it misses the points. Its interval comes from those of the points, as if each had test
rows of its own: that they share them makes differences surer, which leaves room for what other
training rows would change. It cannot tell whether the law holds beyond the sizes that ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import floor

from tunebench import metrics, results
from tunebench.config.schema import Params
from tunebench.metrics import paired
from tunebench.metrics.statistics import Interval
from tunebench.report import prices, recommendation
from tunebench.report.power_law import PARAMETERS, PowerLaw, fit
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import NO_ROWS, Record

FARTHEST = 4  # times the largest size: how far the law is read
DRAWN = 25  # points of the fitted line
TARGETS = 6
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # between the scores that are aimed at


@dataclass(frozen=True)
class Point:
    """A score with its 95% interval, measured or from the fitted law."""

    rows: float
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Step:
    """What the largest size scored above the next smaller one, by the paired test."""

    from_rows: int
    to_rows: int
    gain: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class More:
    """What so many training rows take beyond the largest size: labels, and training with all rows.

    Seconds and dollars of training grow as the rows do. Dollars are None without a price.
    """

    labels: int
    machine_s: float
    usd_for_labels: float | None
    usd_to_train: float | None


@dataclass(frozen=True)
class Doubled:
    """What twice the largest size would score above it."""

    rows: float
    gain: float
    low: float
    high: float
    more: More


@dataclass(frozen=True)
class Target:
    """Training rows to reach a score, and its interval.

    None where the law is not read: beyond four times the largest size, or never. `more` is what
    `rows` cost beyond the largest size.
    """

    score: float
    rows: float | None
    low: float | None
    high: float | None
    more: More | None


@dataclass(frozen=True)
class Curve:
    """One method's curve on one model and data set; without a law, `note` says why.

    `law` holds a, b and c of error = a + b·rows^-c. `exact` says that it passes through its three
    points whatever they are. `line` are its scores up to `FARTHEST` times the largest size.
    """

    model: str
    dataset: str
    method: str
    metric: str
    seeds: int
    optimistic: bool
    points: list[Point]
    step: Step | None
    note: str
    law: dict[str, float] | None = None
    exact: bool = False
    line: tuple[Point, ...] = ()
    doubled: Doubled | None = None
    targets: tuple[Target, ...] = ()


def build(
    params: Params, records: Sequence[Record], scores: ScoreBook | None = None
) -> list[Curve]:
    """The curve of each method with a score, prompting ones with a single point at no rows.

    Args:
        scores: of the runs, as far as they are read already.
    """
    scores = scores or ScoreBook()
    scored = [record for record in records if record.quality]
    places = groupby(scored, key=lambda record: (record.model, record.dataset, record.method))
    return [_curve(params, list(group), scores) for _, group in places]


def _curve(params: Params, records: list[Record], scores: ScoreBook) -> Curve:
    records.sort(key=lambda record: record.train_rows)
    last = records[-1]
    values = [
        scores.of(recommendation.runs_of(params, record), record.headline) for record in records
    ]
    law, note = _law(records)
    curve = Curve(
        model=last.model,
        dataset=last.dataset,
        method=last.method,
        metric=last.headline,
        seeds=last.seeds,
        optimistic=any(record.optimistic for record in records),
        points=[_point(record) for record in records],
        step=_step(records, values),
        note=note,
    )
    return curve if law is None else _with_law(curve, law, last, params)


def _point(record: Record) -> Point:
    return Point(record.train_rows, record.quality[record.headline], *_interval(record))


def _interval(record: Record) -> Interval:
    low, high = (record.quality[end] for end in metrics.interval(record.headline))
    return low, high


def _step(records: Sequence[Record], values: Sequence[list[list[float]]]) -> Step | None:
    if len(records) < 2:
        return None
    compared = paired.compare(values[-1], values[-2])
    low, high = (results.rounded(end, 4) for end in compared.interval)
    gain, p = results.rounded(compared.difference, 4), results.rounded(compared.p, 3)
    return Step(records[-2].train_rows, records[-1].train_rows, gain, low, high, p)


def _law(records: Sequence[Record]) -> tuple[PowerLaw | None, str]:
    """The power law, or why there is none."""
    if records[0].train_size == NO_ROWS:
        return None, "it trains on no rows"
    sizes = [record.train_rows for record in records]
    if len(set(sizes)) < PARAMETERS:
        kinds = {1: "one size has a score", 2: "two sizes have a score"}[len(set(sizes))]
        return None, f"only {kinds}, and a power law needs {PARAMETERS}"
    errors = [1 - record.quality[record.headline] for record in records]
    widths = [high - low for low, high in map(_interval, records)]
    law = fit(sizes, errors, [width / 2 / prices.TWO_SIDED for width in widths])
    return (law, "") if law.fits else (None, "no power law passes through these scores")


def _with_law(curve: Curve, law: PowerLaw, largest: Record, params: Params) -> Curve:
    import numpy as np

    sizes = np.geomspace(curve.points[0].rows, FARTHEST * law.largest, DRAWN)
    gain, ends = law.gain(2)
    low, high = (results.rounded(end, 3) for end in ends)
    more = _more(2 * law.largest, largest, params)
    return replace(
        curve,
        law={
            name: results.rounded(value, 4)
            for name, value in zip("abc", law.parameters, strict=True)
        },
        exact=len(curve.points) == PARAMETERS,
        line=tuple(_predicted(law, float(size)) for size in sizes),
        doubled=Doubled(2 * law.largest, results.rounded(gain, 3), low, high, more),
        targets=tuple(_targets(curve, law, largest, params)),
    )


def _predicted(law: PowerLaw, rows: float) -> Point:
    error, (low, high) = law.error(rows)
    ends = (results.rounded(max(0.0, 1 - each), 4) for each in (error, high, low))
    return Point(results.rounded(rows, 4), *ends)


def _targets(curve: Curve, law: PowerLaw, largest: Record, params: Params) -> Iterator[Target]:
    """Round scores between that of the largest size and the farthest that the law is read to."""
    start = curve.points[-1].score
    gain = 1 - law.error(FARTHEST * law.largest)[0] - start
    step = next((step for step in STEPS if gain < TARGETS * step), STEPS[-1])
    for number in range(floor(start / step) + 1, floor((start + gain) / step) + 1):
        yield rows_to_reach(round(number * step, 3), law, largest, params)


def rows_to_reach(score: float, law: PowerLaw, largest: Record, params: Params) -> Target:
    """Training rows to reach a score, with its price."""
    rows, (low, high) = law.rows_to(1 - score)
    reached = _within(law, rows)
    more = None if reached is None else _more(reached, largest, params)
    return Target(score, reached, _within(law, low), _within(law, high), more)


def _within(law: PowerLaw, rows: float) -> float | None:
    """Rows to two digits; None beyond those that the law is read to."""
    return results.rounded(rows, 2) if rows <= FARTHEST * law.largest else None


def _more(rows: float, largest: Record, params: Params) -> More:
    labels = max(0, round(rows) - largest.train_rows)
    machine_s = largest.training["machine_s"] * rows / largest.train_rows
    price, cost = params.hardware.usd_per_hour, params.cost
    return More(
        labels,
        results.rounded(machine_s, 3),
        None if cost is None else results.rounded(labels * cost.usd_per_label, 3),
        results.rounded(prices.usd_to_train(machine_s, price), 3) if price else None,
    )
