"""What a decision costs in all by the number of requests, with the break-even points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from tunebench.config.schema import Params
from tunebench.report import break_even, costs, digits, summary, throughput
from tunebench.report.costs import DRAWN, Choice
from tunebench.report.page import axes
from tunebench.report.page.figures import ChartRow, Figure, legend
from tunebench.report.page.looks import Look
from tunebench.report.page.runs import PageRun

LEAST_SHARE = 0.01  # an interval that reaches below is cut: a logarithmic axis has no zero
DOLLARS, SECONDS = "total cost, $", "total time of the machine, s"


def build(params: Params, runs: Sequence[PageRun], looks: dict[str, Look]) -> list[Figure]:
    """A figure for each data set with timed runs; in seconds where the machine has no price."""
    unit, records = DOLLARS, [run.record for run in runs]
    if not params.hardware.usd_per_hour:
        params, unit = _by_seconds(params), SECONDS
        records = summary.collect(params)
    by_place = {_place(run.record): run for run in runs}
    figures = []
    for dataset in params.grid.datasets:
        groups = [
            costs.alike(
                [record for record in summary.of_model(records, model, dataset)
                 if throughput.is_timed(record, params)],
                params,
            )
            for model in params.grid.models
        ]  # fmt: skip
        # a baseline stands in the group of each model, and is drawn once
        by_record = {_place(choice.record): choice for group in groups for choice in group}
        choices = [(by_place[place], choice) for place, choice in by_record.items()]
        if choices:
            drawn = [run for run, _ in choices]
            rows = list(_rows(choices))
            values = {"y_title": unit, "y_ticks": axes.decades(row["cost"] for row in rows)}
            figures.append(
                Figure("volume", dataset, _title(choices, unit), rows,
                       values, legend(drawn, looks), note=_note(choices))
            )  # fmt: skip
    return figures


def _by_seconds(params: Params) -> Params:
    """A machine of a dollar a second, so that each price is in seconds."""
    hardware = params.hardware.model_copy(update={"usd_per_hour": 3600.0})
    return params.model_copy(update={"hardware": hardware, "cost": None})


def _place(record: summary.Record) -> tuple[str, ...]:
    return record.model, record.dataset, record.method, record.train_size


def _rows(choices: Sequence[tuple[PageRun, Choice]]) -> Iterator[ChartRow]:
    for run, choice in choices:
        for requests in DRAWN:
            bill = choice.bill.at(requests)
            yield {
                "run": run.id, "kind": "line", "label": run.label, "method": run.record.method,
                "model": run.record.model, "requests": requests, "cost": _short(bill.usd),
                "low": _short(max(bill.low, LEAST_SHARE * bill.usd)), "high": _short(bill.high),
                "text": digits.with_interval(bill.usd, bill.low, bill.high),
                "marked": str(requests).strip("0") == "1",
            }  # fmt: skip
    for (run, first), (_, second) in pairwise(_envelope(choices)):
        requests = break_even.cheaper(first, second)["requests"]
        if requests and DRAWN[0] <= requests <= DRAWN[-1]:
            yield {"run": run.id, "kind": "even", "method": run.record.method, "model": "",
                   "label": f"{first.record.method} and {second.record.method}",
                   "requests": requests, "cost": _short(first.bill.at(requests).usd)}  # fmt: skip


def _envelope(choices: Sequence[tuple[PageRun, Choice]]) -> list[tuple[PageRun, Choice]]:
    """The cheapest choices, from few requests to many."""
    cheapest = [min(choices, key=lambda each: each[1].bill.at(requests).usd) for requests in DRAWN]
    return [cheapest[0]] + [after for before, after in pairwise(cheapest) if after is not before]


def _title(choices: Sequence[tuple[PageRun, Choice]], unit: str) -> str:
    envelope = _envelope(choices)
    cost = "costs" if unit == DOLLARS else "takes"
    parts = [f"{run.label} {cost} least" for run, _ in envelope]
    if len(parts) == 1:
        return f"{parts[0]} at any number of requests"
    few, many = envelope[0], envelope[-1]
    crossing = break_even.cheaper(few[1], many[1])["requests"]
    if crossing:
        return f"{parts[0]} up to about {crossing:,} requests, {many[0].label} beyond"
    return f"{parts[0]} for few requests, {many[0].label} for many, as far as can be told"


def _note(choices: Sequence[tuple[PageRun, Choice]]) -> str:
    """How the prices were measured, and that quality is not in them."""
    ways = {choice.served.measured_by for _, choice in choices}
    merged = ", adapters merged where they can be" if throughput.MERGED in ways else ""
    behind = "behind a server under load" if throughput.LOAD_TEST in ways else f"in process{merged}"
    return (
        f"Measured {behind}. A request is charged its share of a machine that is never idle; how"
        " good the answers are stands in the ranking. Crosses mark break-even points."
    )


def _short(number: float) -> float:
    return float(f"{number:.5g}")
