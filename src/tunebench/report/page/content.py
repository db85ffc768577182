"""All that the page says, built once: for the template, and as JSON for the page's scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tunebench.config.schema import Params
from tunebench.report import predictions
from tunebench.report.page import (
    beside,
    charts,
    explorer,
    failures,
    figures,
    learning,
    looks,
    making,
    pairs,
    runs,
    serving,
    volume,
)
from tunebench.report.page import tables as shown_tables
from tunebench.report.page.figures import Figure
from tunebench.report.page.looks import Look
from tunebench.report.page.runs import PageRun
from tunebench.report.predictions import Predictions
from tunebench.report.recommendation import REQUESTS
from tunebench.report.summary import Record
from tunebench.report.tables import Row

if TYPE_CHECKING:
    from tunebench.report.answer import Answer
    from tunebench.report.compare import Changes
    from tunebench.report.learning import Curve
    from tunebench.report.row_scores import ScoreBook


@dataclass(frozen=True)
class Parts:
    """What other modules say, for their places on the page; each may be left out.

    `changes` are what has changed since an earlier revision; `scores` those of the runs, as far as
    they are read already.
    """

    answers: Sequence[Answer] = ()
    curves: Sequence[Curve] = ()
    scores: ScoreBook | None = None
    changes: Changes | None = None

    def curves_of(self, dataset: str) -> list[Curve]:
        """The learning curves of one data set."""
        return [curve for curve in self.curves if curve.dataset == dataset]


@dataclass(frozen=True)
class Content:
    """A study on the page: its parameters, records, and the tables of `metrics/tables/`."""

    params: Params
    records: Sequence[Record]
    tables: Mapping[str, Sequence[Row]]
    parts: Parts

    @cached_property
    def datasets(self) -> list[str]:
        """The names of the data sets."""
        return self.params.grid.datasets

    @cached_property
    def runs(self) -> list[PageRun]:
        """Every point of the grid."""
        return runs.build(self.params, self.records, self.parts.scores)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Colour and shape of each method."""
        grid = self.params.grid
        return looks.of([*grid.prompting, *grid.tuning, *grid.baselines])

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every specification may take."""
        drawn = self.looks.values()
        return {"methods": list(self.looks), "colours": [look.colour for look in drawn],
                "shapes": [look.shape for look in drawn]}  # fmt: skip

    @cached_property
    def answered(self) -> dict[int, Predictions]:
        """What each run with a score answered, by the page's id of the run."""
        scored = [run for run in self.runs if run.score]
        with ThreadPoolExecutor() as pool:  # Arrow reads without Python's lock
            read = list(pool.map(lambda run: predictions.read(run.run), scored))
        return {run.id: answers for run, answers in zip(scored, read, strict=True) if answers}

    @cached_property
    def recommended(self) -> list[PageRun]:
        """The run to use of each data set that has one, if its answers are there."""
        return [run for run in self.runs if run.chosen and run.id in self.answered]

    @cached_property
    def figures(self) -> list[Figure]:
        """Every chart of every data set that has the numbers for it."""
        drawn = [figure for name in self.datasets for figure in self._figures(name) if figure]
        return [*drawn, *volume.build(self.params, self.runs, self.looks)]

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The test rows to read, by data set."""
        count, share = self.params.report.rows, explorer.BUDGET_BYTES // len(self.datasets)
        built = {name: explorer.build(self.runs_of(name), self.answered, count, share)
                 for name in self.datasets}  # fmt: skip
        return {name: rows for name, rows in built.items() if rows}

    @cached_property
    def axes(self) -> dict[str, list[dict[str, Any]]]:
        """The measures that each data set's charts can be drawn over."""
        return {name: figures.axes_json(self.runs_of(name)) for name in self.datasets}

    def runs_of(self, dataset: str) -> list[PageRun]:
        """The runs of one data set."""
        return [run for run in self.runs if run.dataset == dataset]

    def _figures(self, dataset: str) -> list[Figure | None]:
        params, own, look = self.params, self.runs_of(dataset), self.looks
        published, compared, rates = (
            [row for row in self.tables.get(name, ()) if row["dataset"] == dataset]
            for name in ("published", "comparisons", "rates")
        )
        return [
            figures.ranking(own),
            figures.cost(own, look),
            learning.build(own, look, published, self.parts.curves_of(dataset)),
            pairs.build(own, compared),
            failures.kinds(own, self.answered),
            serving.throughputs(params, own, look),
            serving.rates(params, own, look, rates),
            serving.utilization(params, own, look),
        ]

    def for_scripts(self) -> dict[str, Any]:
        """What the page's scripts read."""
        return {
            "requests": REQUESTS,
            "priced": runs.priced(self.params),
            "runs": [run.as_json() for run in self.runs],
            "axes": self.axes,
            "common": self.common,
            "specs": charts.specs(),
            "figures": [figure.as_json() for figure in self.figures],
            "details": {run.id: failures.details(run, self.answered[run.id])
                        for run in self.runs if run.id in self.answered},
            "rows": self.rows,
        }  # fmt: skip

    def for_template(self) -> dict[str, Any]:
        """What the template takes."""
        return {
            "params": self.params,
            "datasets": self.datasets,
            "runs": self.runs,
            "priced": runs.priced(self.params),
            "requests": REQUESTS,
            "parts": self.parts,
            "growth": {name: grown for name in self.datasets
                       if (grown := learning.growth(self.parts.curves_of(name)))},
            "figures": {chart: [(figure, Markup(figure.svg(self.common)))
                                for figure in self.figures if figure.chart == chart]
                        for chart in charts.specs()},
            "details": [self._pictured(run) for run in self.recommended],
            "kinds": failures.KINDS,
            "static_rows": {run.dataset: explorer.static(self.rows[run.dataset], run.id)
                            for run in self.recommended if run.dataset in self.rows},
            "axes": self.axes,
            "beside": beside.build(self.tables.get("published", ())),
            "tables": shown_tables.shown(self.tables),
            "words": shown_tables.WORDS,
            "made": making.runs(self.params),
            "versions": making.versions(self.params),
            "settings": making.settings(self.runs),
        }  # fmt: skip

    def _pictured(self, run: PageRun) -> dict[str, Any]:
        """What is shown of one run at a time, as pictures."""
        detail = failures.details(run, self.answered[run.id])
        matrix, reliable = detail["confusion"], detail["reliability"]
        pictures = {"confusion_svg": "", "reliability_svg": ""}
        if matrix:
            values = self.common | matrix | {"rows": failures.cells(matrix)}
            pictures["confusion_svg"] = Markup(charts.svg("confusion", values))
        if reliable:
            values = self.common | {"rows": reliable}
            pictures["reliability_svg"] = Markup(charts.svg("reliability", values))
        return detail | pictures | {"run": run}
