"""How fast methods answer: throughput by batch size, latency by rate, cost by utilization."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tunebench import metrics
from tunebench.config.schema import Params
from tunebench.report import digits, throughput
from tunebench.report.inference import THROUGHPUT
from tunebench.report.page import axes
from tunebench.report.page.figures import ChartRow, Figure, legend
from tunebench.report.page.looks import Look
from tunebench.report.page.runs import PageRun
from tunebench.report.tables import Row

SHOWN = ("p50", "p90", "p99")


def throughputs(params: Params, runs: Sequence[PageRun], looks: dict[str, Look]) -> Figure | None:
    """Requests a second by batch size, of the runs of one data set that were timed."""
    timed = [run for run in runs if throughput.is_timed(run.record, params)]
    rows = [row for run in timed for row in _batches(run)]
    if not rows:
        return None
    sizes = sorted({row["batch"] for row in rows})
    best = max(rows, key=lambda row: row["rate"])
    form = f" {best['form']}" if best["form"] else ""
    title = (
        f"{best['label']}{form} answers most: {best['text']} requests a second at batch size"
        f" {best['batch']}"
    )
    values = {"x_domain": [sizes[0] / 1.2, sizes[-1] * 1.2], "x_ticks": sizes,
              "y_ticks": axes.decades(row["rate"] for row in rows)}  # fmt: skip
    note = "Dashed: the adapter attached. Solid: merged, or the untouched base."
    return Figure("throughput", timed[0].dataset, title, rows, values, legend(timed, looks),
                  note=note if any(row["form"] for row in rows) else "")  # fmt: skip


def _batches(run: PageRun) -> Iterator[ChartRow]:
    known = run.record.inference
    mergeable = "mergeable" in known
    for name, rate in known.items():
        match = THROUGHPUT.fullmatch(name)
        if not match:
            continue
        low, high = (known.get(end) for end in metrics.interval(name))
        form = "merged" if name.startswith("merged_") else "attached" if mergeable else ""
        yield {"run": run.id, "label": run.label, "model": run.record.model,
               "method": run.record.method, "form": form, "batch": int(match[2]), "rate": rate,
               "low": low, "high": high,
               "text": digits.with_interval(rate, low, high)}  # fmt: skip


def rates(
    params: Params, runs: Sequence[PageRun], looks: dict[str, Look], table: Sequence[Row]
) -> Figure | None:
    """Latency by the offered rate, with the objective; None if nothing was load-tested.

    Args:
        table: the data set's rows of the table `rates`.
    """
    if not table:
        return None
    by_name = {
        (run.record.model, run.record.method): run
        for run in runs
        if throughput.is_timed(run.record, params)
    }
    rows = [
        point for row in table for point in _percentiles(row, by_name[row["model"], row["method"]])
    ]
    objective = [
        {"kind": "objective", "run": None, "method": "", "model": "", "percentile": "",
         "seconds": seconds, "label": f"{name.removesuffix('_s').replace('_', ' ')}: {seconds:g} s"}
        for name, seconds in params.inference.objective.items()
    ]  # fmt: skip
    held = [row for row in rows if row["holds"]]
    title = (
        "No rate is shown to meet the objective"
        if not held
        else f"{_fastest(held)['label']} holds the objective up to {_fastest(held)['rate']:.3g}"
        " requests a second"
    )
    drawn = list({row["run"]: _by_id(runs, row["run"]) for row in rows}.values())
    ticks = axes.decades(row["seconds"] for row in [*rows, *objective])
    return Figure("rates", runs[0].dataset, title, rows + objective, {"y_ticks": ticks},
                  legend(drawn, looks),
                  note="Filled: the rate holds. Solid: p50; dashed: p90; dotted: p99.")  # fmt: skip


def _by_id(runs: Sequence[PageRun], number: int) -> PageRun:
    return next(run for run in runs if run.id == number)


def _fastest(rows: Sequence[ChartRow]) -> ChartRow:
    return max(rows, key=lambda row: row["rate"])


def _percentiles(row: Row, run: PageRun) -> Iterator[ChartRow]:
    for percentile in SHOWN:
        name = f"latency_{percentile}_s"
        if row.get(name) is None:
            continue
        low, high = (row.get(end) for end in metrics.interval(name))
        yield {"run": run.id, "kind": "measured", "label": run.label, "model": run.record.model,
               "method": run.record.method, "percentile": percentile, "rate": row["offered_rps"],
               "seconds": row[name], "verdict": row["verdict"], "holds": row["verdict"] == "holds",
               "text": digits.with_interval(row[name], low, high)}  # fmt: skip


def utilization(params: Params, runs: Sequence[PageRun], looks: dict[str, Look]) -> Figure | None:
    """Dollars by how much of the time the machine has work; None if it has no price."""
    timed = [run for run in runs if throughput.is_timed(run.record, params)]
    drawn = [run for run in timed if "usd_per_1k_requests" in run.measures]
    if not drawn or not params.hardware.usd_per_hour:
        return None
    rows: list[dict[str, Any]] = [
        {"run": run.id, "label": run.label, "model": run.record.model, "method": run.record.method,
         "full": price.value, "full_low": price.low or price.value,
         "full_high": price.high or price.value}
        for run in drawn
        for price in (run.measures["usd_per_1k_requests"],)
    ]  # fmt: skip
    least = min(rows, key=lambda row: row["full"])
    title = (
        f"{least['label']} costs least per request; a machine that is busy a tenth of the time"
        " costs ten times as much"
    )
    ticks = axes.decades(end for row in rows for end in (row["full"], 20 * row["full"]))
    note = "Measured in process, at the batch size that answered most."
    return Figure(
        "utilization",
        drawn[0].dataset,
        title,
        rows,
        {"y_ticks": ticks},
        legend(drawn, looks),
        note=note,
    )
