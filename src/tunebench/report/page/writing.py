"""The page as one HTML file: data, specifications, bundle and text in one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunebench import results
from tunebench.config.schema import Params
from tunebench.report.answer import Answer
from tunebench.report.compare import Changes
from tunebench.report.learning import Curve
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
    predictions,
    runs,
    serving,
    volume,
)
from tunebench.report.page import tables as shown_tables
from tunebench.report.page.figures import Figure
from tunebench.report.page.predictions import Predictions
from tunebench.report.page.runs import PageRun
from tunebench.report.recommendation import REQUESTS
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import Record
from tunebench.report.tables import Row

SCRIPTS = ("state", "needs", "charts", "run", "rows", "tables", "view")  # in the page's order
# in JSON within a script: what an HTML or a JavaScript parser could take for more than text
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


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


def write(
    path: Path,
    params: Params,
    records: Sequence[Record],
    tables: Mapping[str, Sequence[Row]],
    *,
    further: Mapping[str, Sequence[Row]] | None = None,
    parts: Parts | None = None,
) -> None:
    """Write the page, with all text escaped.

    Args:
        tables: those of `metrics/tables/`, to be shown and downloaded.
        further: tables to be downloaded only.
    """
    content = _content(params, records, tables, parts or Parts())
    files = making.downloads({**tables, **(further or {})})
    data, script, bundle = _json(content.pop("data")), _script(), charts.bundle()
    page = _environment().get_template("page.html.jinja").render(
        content, files=files, data=Markup(data), script=Markup(script), bundle=Markup(bundle),
        style=Markup(_asset("style.css")), hashes=" ".join(map(_hash, (bundle, script))),
    )  # fmt: skip
    with results.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _content(
    params: Params, records: Sequence[Record], tables: Mapping[str, Sequence[Row]], parts: Parts
) -> dict[str, Any]:
    """What the template takes; `data` is what the page's script takes."""
    found = runs.build(params, records, parts.scores)
    look = looks.of([*params.grid.prompting, *params.grid.tuning])
    common = {"methods": list(look), "colours": [each.colour for each in look.values()],
              "shapes": [each.shape for each in look.values()]}  # fmt: skip
    answered = {run.id: answers for run in found if run.score
                if (answers := predictions.read(run.run))}  # fmt: skip
    drawn = list(_figures(params, found, look, tables, parts, answered))
    rows = _explored(params, found, answered)
    return {
        "params": params,
        "datasets": params.grid.datasets,
        "runs": found,
        "looks": look,
        "priced": runs.priced(params),
        "requests": REQUESTS,
        "parts": parts,
        "growth": {name: growth for name in params.grid.datasets
                   if (growth := learning.growth([curve for curve in parts.curves
                                                  if curve.dataset == name]))},
        "figures": {
            chart: [(figure, Markup(figure.svg(common))) for figure in drawn
                    if figure.chart == chart]
            for chart in charts.specs()
        },
        "details": {run.id: _detail(run, answered[run.id], common) for run in _chosen(found)
                    if run.id in answered},
        "kinds": failures.KINDS,
        "static_rows": {run.dataset: explorer.static(rows[run.dataset], run.id)
                        for run in _chosen(found) if run.dataset in rows},
        "axes": {name: figures.axes_json(_of(found, name)) for name in params.grid.datasets},
        "beside": beside.build(tables.get("published", ())),
        "tables": shown_tables.shown(tables),
        "words": shown_tables.WORDS,
        "made": making.runs(params),
        "versions": making.versions(params),
        "settings": making.settings(found),
        "data": {
            "requests": REQUESTS,
            "priced": runs.priced(params),
            "runs": [run.as_json() for run in found],
            "axes": {name: figures.axes_json(_of(found, name)) for name in params.grid.datasets},
            "common": common,
            "specs": charts.specs(),
            "figures": [figure.as_json() for figure in drawn],
            "details": {run.id: _details(run, answered[run.id]) for run in found
                        if run.id in answered},
            "rows": rows,
        },
    }  # fmt: skip


def _of(found: Sequence[PageRun], dataset: str) -> list[PageRun]:
    return [run for run in found if run.dataset == dataset]


def _chosen(found: Sequence[PageRun]) -> list[PageRun]:
    """The recommended run of each data set that has one."""
    return [run for run in found if run.chosen]


def _figures(
    params: Params, found: Sequence[PageRun], look: dict[str, looks.Look],
    tables: Mapping[str, Sequence[Row]], parts: Parts, answered: Mapping[int, Predictions],
) -> list[Figure]:  # fmt: skip
    """Every chart of every data set that has the numbers for it."""
    published, compared, rates = (
        learning.by_dataset(tables.get(name, ())) for name in ("published", "comparisons", "rates")
    )
    built: list[Figure | None] = []
    for name in params.grid.datasets:
        own = _of(found, name)
        built += [
            figures.ranking(own),
            figures.cost(own, look),
            learning.build(
                own,
                look,
                published.get(name, ()),
                [curve for curve in parts.curves if curve.dataset == name],
            ),
            pairs.build(own, compared.get(name, ())),
            failures.kinds(own, answered),
            serving.throughputs(params, own, look),
            serving.rates(params, own, look, rates.get(name, ())),
            serving.utilization(params, own, look),
        ]
    return [figure for figure in [*built, *volume.build(params, found, look)] if figure]


def _details(run: PageRun, answers: Predictions) -> dict[str, Any]:
    """What is shown of one run at a time."""
    reliable = failures.reliability(answers)
    return {
        "confusion": failures.confusion(answers),
        "labels": failures.by_label(run),
        "reliability": reliable,
        "reliable": failures.reliability_title(run.label, answers) if reliable else "",
    }


def _detail(run: PageRun, answers: Predictions, common: dict[str, Any]) -> dict[str, Any]:
    """The same with static pictures, for the recommended run."""
    detail = _details(run, answers)
    matrix = detail["confusion"]
    drawn = {"confusion_svg": "", "reliability_svg": ""}
    if matrix:
        values = {**common, **matrix, "rows": failures.cells(matrix), "cell_label_width": 160}
        drawn["confusion_svg"] = Markup(charts.svg("confusion", values))
    if detail["reliability"]:
        values = {**common, "rows": detail["reliability"]}
        drawn["reliability_svg"] = Markup(charts.svg("reliability", values))
    return {**detail, **drawn, "run": run}


def _explored(
    params: Params, found: Sequence[PageRun], answered: Mapping[int, Predictions]
) -> dict[str, Any]:
    """The test rows on the page, by data set."""
    share = explorer.BUDGET_BYTES // len(params.grid.datasets)
    built = {
        name: explorer.build(_of(found, name), answered, params.report.rows, share)
        for name in params.grid.datasets
    }
    return {name: rows for name, rows in built.items() if rows}


def _json(data: Any) -> str:
    """JSON that ends no script and begins no comment, whatever its texts hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _hash(script: str) -> str:
    """How the page's policy names a script that may run: no other does."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _script() -> str:
    """The page's own scripts as one, which shares no name with others."""
    parts = "".join(_asset(f"scripts/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(str(__package__), "."), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
