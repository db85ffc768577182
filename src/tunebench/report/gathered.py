"""Everything that the report says, from the results that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunebench.config.schema import Params
from tunebench.report import (
    answer,
    break_even,
    comparisons,
    confusion,
    costs,
    demand,
    deployment,
    learning,
    load_tests,
    page,
    published,
    repeatability,
    summary,
    tables,
)
from tunebench.report.compare import Changes
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import Record
from tunebench.report.tables import Row


@dataclass(frozen=True)
class Gathered:
    """A study's records, tables and plots by their names, and what the page says beside them."""

    params: Params
    records: Sequence[Record]
    tables: Mapping[str, Sequence[Row]]
    plots: Mapping[str, Sequence[Row]]
    parts: page.Parts

    def write_page(self, path: Path, changes: Changes | None = None) -> None:
        """The page, with a section on what changed if that is given."""
        parts = replace(self.parts, changes=changes)
        page.write(path, self.params, self.records, self.tables, further=self.plots, parts=parts)


def gather(params: Params) -> Gathered:
    """Read every result of the grid, and build all that is said of it."""
    params = repeatability.measured(params)
    records, scores = summary.collect(params), ScoreBook()
    compared = comparisons.build(params, records, scores)
    built = (
        tables.build(records)
        | compared
        | tables.searches(params)
        | published.build(params.published, records)
        | load_tests.build(records, params)
        | costs.build(records, params)
        | break_even.build(records, params)
        | demand.build(records, params)
        | deployment.build(params)
    )
    plots = (
        tables.plots(records, params)
        | {"confusion": confusion.build(params)}
        | costs.plot(records, params)
    )
    curves = learning.build(params, records, scores)
    answers = answer.build(params, records, compared.get("comparisons", []), curves, scores)
    return Gathered(params, records, built, plots, page.Parts(answers, curves, scores))
