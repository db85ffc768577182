"""The table `inference`: a row for each form, attached or merged, that a model was timed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tunebench import metrics
from tunebench.report.summary import LATENCIES, Record

THROUGHPUT = re.compile(r"(?:merged_)?(requests_per_s_batch_(\d+))")
LAST = (
    "inference_peak_memory_bytes",
    "inference_peak_memory_above_baseline_bytes",
    "usd_per_1k_requests",
    *metrics.interval("usd_per_1k_requests"),
    "answers_that_differ",
)
NEEDS = "_needs"  # after the name of a percentile: how many prompts it takes


def rows(record: Record, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for the model with its adapter attached (or without one), and one if it was merged.

    Args:
        columns: what `columns` returns, so that all rows have the same order.
    """
    timed = record.inference
    if not timed:
        return
    form = "attached" if "mergeable" in timed else ""
    quantization = timed.get("quantization", "")
    attached = {name: timed.get(name) for name in columns}
    yield {"form": form, "quantization": quantization} | attached
    merged = {name: timed.get(f"merged_{name}") for name in columns}
    if timed.get("merged_out_of_memory"):
        yield {"form": "merged", "quantization": "", **merged, "note": "out of memory"}
    elif "merged_latency_p50_s" in timed:
        yield {"form": "merged", "quantization": ""} | merged


def columns(records: Sequence[Record]) -> list[str]:
    """The metrics that any of the records has, with batch sizes in increasing order."""
    names = {name for record in records for name in record.inference}
    sizes = {int(match[2]): match[1] for name in names if (match := THROUGHPUT.fullmatch(name))}
    rates = [name for size in sorted(sizes) for name in _with_interval(sizes[size])]
    known = {name.removeprefix("merged_") for name in names}
    # a percentile that has too few prompts everywhere has its column all the same
    known |= {name.removesuffix(NEEDS) for name in known}
    ordered = ("output_tokens_mean", *LATENCIES, *rates, *LAST)
    return [name for name in ordered if name in known]


def _with_interval(name: str) -> tuple[str, ...]:
    return name, *metrics.interval(name)
