"""The page: the same tables, readable in a browser without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunebench import results
from tunebench.config.schema import Params
from tunebench.report.tables import Row

TITLES = {
    "classification": "Classification: how often the answer is right",
    "summarization": "Summarization: overlap with the reference summary (ROUGE F1)",
    "training": "What training costs",
    "inference": "What answering costs, in one process",
}


def write(path: Path, params: Params, tables: Mapping[str, Sequence[Row]]) -> None:
    """Write the page; every text that comes from a file is escaped."""
    environment = Environment(
        loader=PackageLoader("tunebench.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["cell"] = cell
    page = environment.get_template("page.html.jinja").render(
        params=params,
        tables=[(TITLES[name], columns(rows), rows) for name, rows in tables.items()],
    )
    with results.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def columns(rows: Sequence[Row]) -> list[str]:
    """The union of the rows' columns, in the order in which they come."""
    return list(dict.fromkeys(column for row in rows for column in row))


def cell(value: Any, column: str) -> str:
    """A number as a person reads it, by the unit in its column's name.

    >>> cell(0.8125, "accuracy"), cell(3_145_728, "adapter_bytes"), cell(None, "loss")
    ('81.2', '3.15 MB', '')
    """
    if value is None or value == "":
        return ""
    if column.endswith("_bytes"):
        unit, size = ("GB", 1e9) if value >= 1e9 else ("MB", 1e6) if value >= 1e6 else ("kB", 1e3)
        return f"{value / size:.3g} {unit}"
    if column.startswith(("accuracy", "macro_f1", "rouge")):
        return f"{100 * value:.1f}"
    if column.startswith("usd"):
        return f"${value:.4g}"
    if column.endswith("_s"):
        return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
