"""How many requests per second one machine answers, and how good these answers are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from tunebench import metrics, paths, results
from tunebench.config.schema import Params
from tunebench.models import outcomes
from tunebench.paths import Run
from tunebench.report.load_tests import is_tested
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

LOAD_TEST, IN_PROCESS, MERGED = "load_test", "in process", "in process, merged"
BY_BATCH = re.compile(r"requests_per_s_batch_\d+")  # matched in full: not its interval
# mean tokens of a request and of its answer, if the load test's server counts them
TOKENS = ("tokens_in_mean", "tokens_out_mean")


@dataclass(frozen=True)
class Throughput:
    """Requests per second with their 95% interval; 0 if `note` says why there are none.

    From a load test it is the highest rate that met the objective; in process, the throughput of
    the fastest batch size, without a server and without waiting requests, of the merged model where
    there is one: that is what would be deployed. `quality` are the metrics of the answers that a
    server gave under load; empty in process, where they are those of the evaluation.
    """

    requests_per_s: float
    measured_by: str
    interval: tuple[float, float] = (0, inf)
    tokens: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def timed(records: Sequence[Record], params: Params) -> list[tuple[Record, Throughput]]:
    """Every point of the grid that is timed, with its throughput: by a load test if it has one.

    Its `note` tells of a failure at any stage, training and evaluation included.

    Raises:
        SourceError: if the results of a timing are missing.
    """
    return [
        (record, behind_server(record) if is_tested(record, params) else in_process(record))
        for record in records
        if is_timed(record, params)
    ]


def is_timed(record: Record, params: Params) -> bool:
    """Whether a point of the grid is of the size that is timed."""
    return record.train_size in (NO_ROWS, str(params.inference.train_size))


def place(record: Record) -> Row:
    """The columns that name a point of the grid."""
    names = ("model", "dataset", "method", "train_size")
    return {name: getattr(record, name) for name in names}


def behind_server(record: Record) -> Throughput:
    """A record's throughput in its load test."""
    return _noted(record, of_load_test(results.read(paths.load_test(_run(record)))))


def in_process(record: Record) -> Throughput:
    """A record's throughput without a server."""
    return _noted(record, of_timing(results.read(paths.timing(_run(record)))))


def of_load_test(load_test: results.Metrics) -> Throughput:
    """The throughput in a load test's metrics."""
    sustained = float(load_test.get("sustained_rps") or 0)
    if not sustained:
        return Throughput(0, LOAD_TEST, note=outcomes.note(load_test))
    low, high = metrics.interval("sustained_rps")
    return Throughput(
        sustained,
        LOAD_TEST,
        (load_test.get(low, sustained), load_test.get(high, inf)),
        tokens={name: load_test[name] for name in TOKENS if name in load_test},
        quality=load_test,
    )


def of_timing(timing: results.Metrics) -> Throughput:
    """The throughput in the metrics of `time_inference`, merged where that was timed."""
    if note := outcomes.note(timing):
        return Throughput(0, IN_PROCESS, note=note)
    for prefix, measured_by in (("merged_", MERGED), ("", IN_PROCESS)):
        form = {name.removeprefix(prefix): timing[name] for name in timing
                if name.startswith(prefix)}  # fmt: skip
        if by_batch := [name for name in form if BY_BATCH.fullmatch(name)]:
            best = max(by_batch, key=form.__getitem__)
            low, high = (form.get(end, form[best]) for end in metrics.interval(best))
            return Throughput(form[best], measured_by, (low, high))
    size = timing["memory_ended_at_batch_size"]
    return Throughput(0, IN_PROCESS, note=f"out of memory at batch size {size}")


def _noted(record: Record, throughput: Throughput) -> Throughput:
    return replace(throughput, note=record.note or throughput.note)


def _run(record: Record) -> Run:
    return Run(record.model, record.dataset, record.method)
