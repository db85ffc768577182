"""What answering costs, as a table: a row for each form that a method's model was timed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tunebench.report.summary import LATENCIES, Record

THROUGHPUT = re.compile(r"(?:merged_)?(requests_per_s_batch_(\d+))")
LAST = ("inference_peak_memory_bytes", "usd_per_1k_requests", "answers_that_differ")


def rows(record: Record, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The model with its adapter attached, or as it is, and the merged one where there is one.

    Args:
        columns: of `columns`, so that all rows have them in one order.
    """
    found = record.inference
    if not found:
        return
    form = "attached" if "mergeable" in found else ""
    quantization = found.get("quantization", "")
    own = {name: found.get(name) for name in columns}
    yield {"form": form, "quantization": quantization} | own
    merged = {name: found.get(f"merged_{name}") for name in columns}
    if found.get("merged_out_of_memory"):
        yield {"form": "merged", "quantization": "", **merged, "note": "out of memory"}
    elif "merged_latency_p50_s" in found:
        yield {"form": "merged", "quantization": ""} | merged


def columns(records: Sequence[Record]) -> list[str]:
    """What any of the records holds, batch sizes in the order of their numbers."""
    names = {name for record in records for name in record.inference}
    sizes = {int(match[2]): match[1] for name in names if (match := THROUGHPUT.fullmatch(name))}
    known = {name.removeprefix("merged_") for name in names}
    ordered = (*LATENCIES, *(sizes[size] for size in sorted(sizes)), *LAST)
    return [name for name in ordered if name in known]
