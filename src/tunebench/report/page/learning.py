"""The learning curve: score by training rows, prompting as rules, published points beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.paths import BASELINE
from tunebench.report import digits
from tunebench.report.learning import Curve, More, Target
from tunebench.report.page.axes import BY_NAME
from tunebench.report.page.figures import ChartRow, Figure, legend, points
from tunebench.report.page.looks import Look
from tunebench.report.page.runs import PageRun
from tunebench.report.summary import NO_ROWS
from tunebench.report.tables import Row

MARGIN = 1.25  # of the row axis, as a factor


def build(
    runs: Sequence[PageRun],
    looks: dict[str, Look],
    published: Sequence[Row],
    curves: Sequence[Curve] = (),
) -> Figure | None:
    """The curve of one data set; None if no tuned run has a score.

    Args:
        published: rows of the table `published`.
        curves: those of the data set, some with a fitted law.
    """
    scored = [run for run in runs if run.score]
    tuned = [run for run in scored if run.record.train_size != NO_ROWS]
    if not tuned:
        return None
    sizes = sorted({run.record.train_rows for run in tuned})
    fitted = list(_fitted(curves, tuned))
    reach = [*sizes, *(row["rows"] for row in fitted)]
    domain = [min(reach) / MARGIN, max(reach) * MARGIN]
    axis = BY_NAME[tuned[0].record.headline]
    rows = [
        *(_measured(run, domain[0]) for run in scored),
        *fitted,
        *_published(published, runs, domain[0]),
    ]
    values = {"x_domain": domain, "x_ticks": sizes, "y_title": axis.title}
    return Figure("learning", tuned[0].dataset, _title(tuned), rows, values,
                  legend(scored, looks))  # fmt: skip


def _measured(run: PageRun, left: float) -> ChartRow:
    record, score = run.record, run.score
    assert score
    prompted = record.train_size == NO_ROWS
    place: dict[str, Any] = {"kind": "prompted", "at": left} if prompted else {"kind": "measured"}
    return {"run": run.id, "label": run.label, "model": record.model, "method": record.method,
            "rows": record.train_rows, "score": score.value, "low": score.low, "high": score.high,
            "text": score.text, **place}  # fmt: skip


def _fitted(curves: Sequence[Curve], tuned: Sequence[PageRun]) -> Iterator[ChartRow]:
    """The points of fitted curves, each with a run of its method."""
    of_method = {(run.record.model, run.record.method): run for run in tuned}
    for curve in curves:
        run = of_method.get((curve.model, curve.method))
        for point in curve.line if run else ():
            assert run
            yield {"run": run.id, "kind": "fitted", "label": f"{curve.method}, fitted",
                   "model": curve.model, "method": curve.method, "rows": point.rows,
                   "score": 100 * point.score, "low": 100 * point.low,
                   "high": 100 * point.high}  # fmt: skip


def _published(
    published: Sequence[Row], runs: Sequence[PageRun], left: float
) -> Iterator[ChartRow]:
    """Published scores of the runs that are in the grid."""
    known = {(run.record.model, run.record.method, run.record.train_size): run for run in runs}
    for row in published:
        run = known.get((row["model"], row["method"], row["train_size"]))
        if run is None or row["dataset"] != run.dataset or row["metric"] != run.record.headline:
            continue
        yield {"run": run.id, "label": run.label, "model": row["model"], "method": row["method"],
               "kind": "published", "at": run.record.train_rows or left,
               "score": 100 * row["published"],
               "text": f"{digits.plain(100 * row['published'])} (published)"}  # fmt: skip


def _title(tuned: Sequence[PageRun]) -> str:
    """What more rows brought to the method that is best on most of them."""
    most = max(run.record.train_rows for run in tuned)
    best = max((run for run in tuned if run.record.train_rows == most), key=_score)
    name = (best.record.model, best.record.method)
    curve = sorted(
        (run for run in tuned if (run.record.model, run.record.method) == name),
        key=lambda run: run.record.train_rows,
    )
    first = curve[0]
    if first.record.train_rows == most:
        return f"One size only, {most:,} rows: a second would show whether more rows help"
    gain = _score(best) - _score(first)
    verb = "gains" if gain >= 0 else "loses"
    return (
        f"{best.record.method} {verb} {digits.plain(round(abs(gain), 1))} points from"
        f" {first.record.train_rows:,} to {most:,} rows"
    )


def _score(run: PageRun) -> float:
    assert run.score
    return run.score.value


@dataclass(frozen=True)
class Growth:
    """What more rows would bring one method: gain of twice as many, and rows to reach scores."""

    name: str
    rows: str
    gain: str
    cost: str
    targets: list[tuple[str, str]]


def growth(curves: Sequence[Curve]) -> list[Growth]:
    """The readings of each curve that has a law."""
    several = len({curve.model for curve in curves} - {BASELINE}) > 1
    return [
        Growth(
            f"{curve.model}: {curve.method}"
            if several and curve.model != BASELINE
            else curve.method,
            f"{curve.doubled.rows:,.0f}",
            points(curve.doubled.gain, curve.doubled.low, curve.doubled.high),
            _more(curve.doubled.more),
            [(digits.plain(100 * target.score), _reached(target)) for target in curve.targets],
        )
        for curve in curves
        if curve.doubled is not None
    ]


def _more(more: More) -> str:
    """What the additional rows take, in dollars where there are prices, else in seconds."""
    parts = [f"{more.labels:,} labels" + _usd(more.usd_for_labels)]
    trained = _usd(more.usd_to_train) or f" ({digits.plain(more.machine_s)} s)"
    return ", ".join([*parts, f"training{trained}"])


def _usd(usd: float | None) -> str:
    return f" (${digits.plain(usd)})" if usd else ""


def _reached(target: Target) -> str:
    """Rows to reach a score, with their interval as far as the law is read."""
    if target.rows is None:
        return "not within four times the largest size"
    low, high = ("" if end is None else f"{end:,.0f}" for end in (target.low, target.high))
    ends = f"{low} to {high}" if low and high else f"{low} or more" if low else f"up to {high}"
    return f"{target.rows:,.0f} ({ends})" if low or high else f"{target.rows:,.0f}"
