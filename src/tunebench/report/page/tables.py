"""The tables of `metrics/tables/` as the page shows them: a metric's interval in its cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunebench import metrics
from tunebench.report.digits import cell
from tunebench.report.inference import NEEDS
from tunebench.report.tables import Row

TITLES = {
    "classification": "Classification: how often the answer is right",
    "summarization": "Summarization: overlap with the reference summary (ROUGE F1)",
    "comparisons": "Which differences these test rows can tell",
    "published": "Published, and measured here",
    "training": "What training costs",
    "search": "Which settings were tried, on validation rows",
    "inference": "What answering costs, in one process",
    "load_test": "What a server stands within the objective",
    "rates": "Every rate that was tried",
    "costs": "What a decision costs in all, by the number of requests",
    "break_even": "From how many requests on another method is cheaper",
    "demand": "Machines for the demand",
    "deployment": "How each method can be served",
}
# explanations that are shown above a table
NOTES = {
    "inference": "Attached: with the adapter beside the weights that it was trained on, quantized"
    " where those were. Merged: as one set of plain weights. Labels are scored, texts written up to"
    " their own end. Percentiles of single requests with 95% intervals over the prompts; requests a"
    " second by batch size, with intervals over the rounds.",
    "load_test": "The highest rate of requests that is shown to meet the objective, and what was"
    " measured at it: latencies count from when a request was due, answers are judged as they came"
    " back, and differ from those that were evaluated in so many per cent. Bounded: a higher rate"
    " was shown to miss the objective.",
    "comparisons": "The interval of a difference holds zero where its p is 5% or more. p adjusted"
    " is Holm's correction over the family; two methods are distinguishable if it is below 5%.",
    "costs": "Labels, training and requests, in dollars, with 95% intervals. A request costs its"
    " share of a machine that is never idle: load_test is behind a server, at the highest rate that"
    " met the objective, and the quality is that of what it answered; in process is without one, at"
    " the batch size that answered most, merged where the adapter can be.",
    "break_even": "Below so many requests one method costs less in all, from there on the other; in"
    " between, the intervals of their prices do not tell. How good their answers are stands in the"
    " tables above.",
    "demand": "Whole machines for the demand and a margin above it, for 730 hours a month.",
    "deployment": "Merged, any server runs it; as an adapter, vLLM holds many beside one base.",
}
FORGETTING = (
    "Forgetting: by how many nats per token tuning has raised the loss on text of another data set."
)
# aligned to the left
WORDS = ("model", "dataset", "method", "other", "metric", "within", "distinguishable",
         "epoch_chosen_on", "chosen", "form", "quantization", "measured_by", "cheaper_below",
         "cheaper_above", "always_cheaper", "family", "server", "artifact", "prefix_cache",
         "answered_by", "bounded", "verdict", "served_as", "mergeable", "vllm_adapter",
         "many_adapters", "because")  # fmt: skip
# columns whose unit is that of the metric that the row names
OF_METRIC = ("measured", "low", "high", "difference", *metrics.interval("difference"))


@dataclass(frozen=True)
class Cell:
    """A formatted value and its 95% interval; `span` is how many columns it covers."""

    column: str
    text: str
    interval: str = ""
    span: int = 1


@dataclass(frozen=True)
class Table:
    """A table as it is shown: a metric's interval is in the same cell."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]

    @property
    def note(self) -> str:
        """What a reader has to know of it; empty if nothing."""
        forgetting = FORGETTING if "forgetting" in self.columns else ""
        return " ".join(filter(None, (NOTES.get(self.name, ""), forgetting)))


def shown(tables: Mapping[str, Sequence[Row]]) -> list[Table]:
    """The tables in the page's order."""
    return [_table(name, tables[name]) for name in TITLES if name in tables]


def _table(name: str, rows: Sequence[Row]) -> Table:
    all_columns = dict.fromkeys(
        column.removesuffix(NEEDS) for row in rows for column in row if column != "note"
    )
    interval_columns = {end for column in all_columns for end in _ends(column)}
    columns = [column for column in all_columns if column not in interval_columns]
    sample = "prompts" if name == "inference" else "requests"
    return Table(name, TITLES[name], columns, [list(_cells(row, columns, sample)) for row in rows])


def _ends(column: str) -> tuple[str, str]:
    """The two columns that would hold a column's interval."""
    return ("low", "high") if column == "measured" else metrics.interval(column)


def _cells(row: Row, columns: Sequence[str], sample: str) -> Iterator[Cell]:
    """A row's cells; a percentile that is missing says how large a sample it needs."""
    for index, column in enumerate(columns):
        if row.get("note") and row.get(column) is None:
            yield Cell("note", row["note"], span=len(columns) - index)
            return
        if row.get(column) is None and (needed := row.get(f"{column}{NEEDS}")):
            yield Cell(column, f"needs {needed:,} {sample}")
            continue
        interval = [text for end in _ends(column) if (text := _text(row, end, unit=column))]
        dash = " to " if any(text.startswith("-") for text in interval) else "–"
        yield Cell(column, _text(row, column), dash.join(interval))


def _text(row: Row, column: str, unit: str = "") -> str:
    """A cell's text, in the unit of its own column or of `unit`."""
    if column == "published":  # as many digits as most papers give
        return f"{100 * row[column]:.2f}"
    text = cell(row.get(column), row["metric"] if column in OF_METRIC else unit or column)
    return f"+{text}" if column == "difference" and text and row[column] > 0 else text
