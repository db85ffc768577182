"""One chart for each data set: its rows, what is seen in words, and the specification's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunebench.report import digits
from tunebench.report.page import axes, charts
from tunebench.report.page.axes import BY_NAME, Axis
from tunebench.report.page.looks import Look
from tunebench.report.page.runs import Measure, PageRun

ChartRow = dict[str, Any]
RANKED = 40  # rows of the chart; the table has all
# the first that a data set has is drawn when the page opens
COSTS = ("usd_per_1k_requests", "machine_s", "s_per_1k_requests", "latency_p50_s", "train_rows")


@dataclass(frozen=True)
class Figure:
    """A chart of one data set.

    `rows` have the ids of their runs, by which the reader's needs filter them. `values` fill the
    specification. Of several `groups`, such as train sizes, each with its title, the first is drawn
    when the page opens.
    """

    chart: str
    dataset: str
    title: str
    rows: list[ChartRow]
    values: dict[str, Any] = field(default_factory=dict)
    legend: list[Look] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def id(self) -> str:
        """Its name on the page."""
        return f"{self.chart}-{self.dataset}"

    def svg(self, common: dict[str, Any]) -> str:
        """Its static picture."""
        rows = [
            row for row in self.rows if not self.groups or row["group"] == next(iter(self.groups))
        ]
        return charts.svg(self.chart, common | self.values | {"rows": rows})

    def as_json(self) -> dict[str, Any]:
        """What the page's scripts read."""
        return {"id": self.id, "chart": self.chart, "dataset": self.dataset, "rows": self.rows,
                "values": self.values, "groups": self.groups}  # fmt: skip


def ranking(runs: Sequence[PageRun]) -> Figure | None:
    """The runs with a score, those as good as the best marked; None if there are none."""
    scored = [(run, run.score) for run in runs if run.score]
    if not scored:
        return None
    scored.sort(key=lambda each: -each[1].value)
    best, score = scored[0]
    axis = BY_NAME[best.record.headline]
    rows = [
        {"run": run.id, "label": run.label, "good": run.good, "score": measure.value,
         "low": measure.low, "high": measure.high, "text": measure.text,
         "apart": "cannot be told apart" if run.good else "told apart by the test rows"}
        for run, measure in scored
    ]  # fmt: skip
    title = f"{best.label} scores highest: {axis.title.partition(',')[0]} {score.text}"
    if len(scored) > 1:
        title += f"; {_others(sum(run.good for run, _ in scored) - 1)}"
    hidden = len(scored) - RANKED
    note = f"The {RANKED} best of {len(scored)}; the table has all." if hidden > 0 else ""
    return Figure("ranking", best.dataset, title, rows, {"x_title": axis.title}, note=note)


def cost(runs: Sequence[PageRun], looks: dict[str, Look]) -> Figure | None:
    """Every run's score over the first cost that the data set has; None without any."""
    scored = [run for run in runs if run.score]
    known = _names(scored)
    chosen = next((name for name in COSTS if name in known), None)
    if chosen is None:
        return None
    x, y = BY_NAME[chosen], BY_NAME[scored[0].record.headline]
    rows = [row for run in scored if (row := _point(run, x, y))]
    values = {**_axis("x", x, scored), **_axis("y", y, scored)}
    title = cost_title(x, y)
    return Figure("cost", scored[0].dataset, title, rows, values, legend(scored, looks))


def cost_title(x: Axis, y: Axis) -> str:
    """What the scatter shows."""
    title = f"{y.title} against {x.title}: no other run beats those on the line in both"
    return title[0].upper() + title[1:]


def axes_json(runs: Sequence[PageRun]) -> list[dict[str, Any]]:
    """The measures that a data set's charts can be drawn over, with their scales."""
    names = _names(runs)
    return [
        {"name": axis.name, "title": axis.title, "more": axis.more_is_better,
         **axes.scale(_values(runs, axis))}
        for axis in axes.AXES
        if axis.name in names
    ]  # fmt: skip


def legend(runs: Sequence[PageRun], looks: dict[str, Look]) -> list[Look]:
    """The looks of the methods that are drawn."""
    drawn = {run.record.method for run in runs}
    return [look for method, look in looks.items() if method in drawn]


def _names(runs: Sequence[PageRun]) -> set[str]:
    return {name for run in runs for name in run.measures}


def _values(runs: Sequence[PageRun], axis: Axis) -> list[float]:
    measures = [run.measures[axis.name] for run in runs if axis.name in run.measures]
    return [
        number
        for measure in measures
        for number in (measure.value, measure.low, measure.high)
        if number is not None
    ]


def _axis(letter: str, axis: Axis, runs: Sequence[PageRun]) -> dict[str, Any]:
    spread = axes.scale(_values(runs, axis))
    return {f"{letter}_title": axis.title, f"{letter}_scale": spread["scale"],
            f"{letter}_ticks": spread["ticks"]}  # fmt: skip


def _point(run: PageRun, x: Axis, y: Axis) -> ChartRow:
    """A run in the plane of two measures; empty if it lacks one of them."""
    at, up = run.measures.get(x.name), run.measures.get(y.name)
    if at is None or up is None:
        return {}
    return {
        "run": run.id, "label": run.label, "method": run.record.method,
        **_coordinate("x", at, -1 if x.more_is_better else 1),
        **_coordinate("y", up, 1 if y.more_is_better else -1),
    }  # fmt: skip


def _coordinate(letter: str, measure: Measure, sign: int) -> ChartRow:
    return {letter: measure.value, f"{letter}_low": measure.low, f"{letter}_high": measure.high,
            f"{letter}_text": measure.text, f"{letter}_sign": sign}  # fmt: skip


def _others(count: int) -> str:
    """Which runs the test rows do not tell from the best."""
    if not count:
        return "the test rows tell it from all others"
    return f"{count} {'other' if count == 1 else 'others'} cannot be told from it"


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions, in percentage points with its interval."""
    return digits.with_interval(100 * value, 100 * low, 100 * high)
