"""The table `inference`: a row for each form, attached or merged, that a model was timed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tunebench.report.summary import LATENCIES, Record

THROUGHPUT = re.compile(r"(?:merged_)?(requests_per_s_batch_(\d+))")
LAST = ("inference_peak_memory_bytes", "usd_per_1k_requests", "answers_that_differ")


def rows(record: Record, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for the model with its adapter attached (or without one), and one if it was merged.

    Args:
        columns: what `columns` returns, so that all rows have the same order.
    """
    metrics = record.inference
    if not metrics:
        return
    form = "attached" if "mergeable" in metrics else ""
    quantization = metrics.get("quantization", "")
    attached = {name: metrics.get(name) for name in columns}
    yield {"form": form, "quantization": quantization} | attached
    merged = {name: metrics.get(f"merged_{name}") for name in columns}
    if metrics.get("merged_out_of_memory"):
        yield {"form": "merged", "quantization": "", **merged, "note": "out of memory"}
    elif "merged_latency_p50_s" in metrics:
        yield {"form": "merged", "quantization": ""} | merged


def columns(records: Sequence[Record]) -> list[str]:
    """The metrics that any of the records has, with batch sizes in increasing order."""
    names = {name for record in records for name in record.inference}
    sizes = {int(match[2]): match[1] for name in names if (match := THROUGHPUT.fullmatch(name))}
    known = {name.removeprefix("merged_") for name in names}
    ordered = (*LATENCIES, *(sizes[size] for size in sorted(sizes)), *LAST)
    return [name for name in ordered if name in known]
