"""Published numbers beside measured ones, in the rows and columns of their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.report import digits
from tunebench.report.tables import Row


@dataclass(frozen=True)
class Pair:
    """A published number, the measured one and the difference in points; empty where missing."""

    published: str = ""
    measured: str = ""
    difference: str = ""
    within: str = ""


@dataclass(frozen=True)
class Beside:
    """The table of one data set: a row for each run, a column for each metric."""

    dataset: str
    columns: list[str]
    rows: list[tuple[str, list[Pair]]]


def build(published: Sequence[Row]) -> list[Beside]:
    """A table for each data set, in the order in which `published.results` lists them."""
    tables = []
    for dataset in dict.fromkeys(row["dataset"] for row in published):
        own = [row for row in published if row["dataset"] == dataset]
        columns = list(dict.fromkeys(row["metric"] for row in own))
        several = len({row["model"] for row in own}) > 1
        cells = {(_name(row, several=several), row["metric"]): _pair(row) for row in own}
        names = dict.fromkeys(name for name, _ in cells)
        tables.append(
            Beside(dataset, columns,
                   [(name, [cells.get((name, column), Pair()) for column in columns])
                    for name in names])
        )  # fmt: skip
    return tables


def _name(row: Row, *, several: bool) -> str:
    model = f"{row['model']}: " if several else ""
    size = "" if row["train_size"] == "0" else f", train size {row['train_size']}"
    return f"{model}{row['method']}{size}"


def _pair(row: Row) -> Pair:
    published = f"{100 * row['published']:.2f}"
    if row["measured"] == "":
        return Pair(published)
    measured, low, high = (100 * row[name] for name in ("measured", "low", "high"))
    places = digits.decimals(low, high)
    difference = f"{100 * row['difference']:+.{places}f}"
    within = "within the interval" if row["within"] == "yes" else "outside the interval"
    return Pair(published, digits.with_interval(measured, low, high), difference, within)
