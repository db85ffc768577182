"""How results were made: settings, versions, device and commands; and files to download."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.paths import BASELINE, Run
from tunebench.report import cells, digits, staleness
from tunebench.report.page.runs import PageRun
from tunebench.report.tables import Row

MOST_CELLS = 40_000  # of a CSV within the page; a larger one is where `metrics/` is


@dataclass(frozen=True)
class Made:
    """A run of the grid: what it took, where, and the commands that make it again."""

    name: str
    seconds: str
    usd: str
    device: str
    commands: list[str]


@dataclass(frozen=True)
class Settings:
    """The resolved settings that some runs share, as JSON."""

    title: str
    text: str


@dataclass(frozen=True)
class Download:
    """A CSV file: its name, rows, and a link that holds it, or where it is."""

    name: str
    rows: int
    href: str


def runs(params: Params) -> list[Made]:
    """Every run of the grid, those that have no seed too."""
    return [_made(run, params) for run in staleness.runs(params)]


def versions(params: Params) -> list[tuple[str, str]]:
    """Library and version, as the runs' provenance names them; several where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in staleness.runs(params):
        for library, version in _provenance(run).get("libraries", {}).items():
            found.setdefault(library, {})[version] = None
    return [(library, ", ".join(known)) for library, known in found.items()]


def settings(page_runs: Sequence[PageRun]) -> list[Settings]:
    """The settings of each method on each data set: its sizes and seeds share them."""
    first: dict[str, Settings] = {}
    for each in page_runs:
        name = f"{each.record.model}, {each.record.dataset}: {each.record.method}"
        if name not in first:
            whole = _provenance(each.run).get("settings", {})
            trained = paths.trained(each.run)
            if trained and (trained / paths.PROVENANCE).exists():
                whole = results.read(trained / paths.PROVENANCE)["settings"] | whole
            text = json.dumps(whole, indent=1, ensure_ascii=False) if whole else ""
            first[name] = Settings(name, text or "not recorded")
    return list(first.values())


def downloads(tables: Mapping[str, Sequence[Row]]) -> list[Download]:
    """Each table as a CSV file within the page."""
    return [_download(name, rows) for name, rows in tables.items() if rows]


def _download(name: str, rows: Sequence[Row]) -> Download:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if len(rows) * len(columns) > MOST_CELLS:
        return Download(name, len(rows), "")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cells.safe, columns))
    writer.writerows([cells.safe(row.get(column, "")) for column in columns] for row in rows)
    content = text.getvalue().encode("utf-8", "replace")
    return Download(name, len(rows), f"data:text/csv;base64,{base64.b64encode(content).decode()}")


def _made(run: Run, params: Params) -> Made:
    provenance = _provenance(run)
    seconds = float(results.read(paths.evaluation(run)).get("evaluate_s") or 0)
    if run.train_size is not None:
        seconds += float(results.read(paths.train(run)).get("machine_s") or 0)
    usd = seconds * params.hardware.usd_per_hour / 3600
    return Made(
        str(run), digits.plain(seconds) if seconds else "",
        f"${digits.plain(usd)}" if usd else "",
        str(provenance.get("device", "not recorded")), list(_commands(run)),
    )  # fmt: skip


def _commands(run: Run) -> Iterator[str]:
    if run.model == BASELINE:
        yield f"python -m stages.baselines --dataset {run.dataset}"
        return
    options = f"--model {run.model} --dataset {run.dataset} --method {run.method}"
    if run.train_size is not None:
        options += f" --train-size {run.train_size} --seed {run.seed}"
        yield f"python -m stages.train {options}"
    yield f"python -m stages.evaluate {options}"


def _provenance(run: Run) -> dict[str, Any]:
    return results.earlier(paths.predictions_provenance(run)) or {}
