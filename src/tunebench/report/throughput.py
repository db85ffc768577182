"""How many requests per second one machine answers, by the best measurement available."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.models import outcomes
from tunebench.paths import Run
from tunebench.report.load_tests import is_tested
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

LOAD_TEST, IN_PROCESS = "load_test", "in process"
BY_BATCH = re.compile(r"requests_per_s_batch_\d+")  # matched in full: not its interval
# mean tokens of a request and of its answer, if the load test's server counts them
TOKENS = ("tokens_in_mean", "tokens_out_mean")


@dataclass(frozen=True)
class Throughput:
    """Requests per second and how they were measured; 0 if `note` says why there are none.

    From a load test it is the highest rate that met the objective; in process, the throughput of
    the fastest batch size, without a server and without waiting requests.
    """

    requests_per_s: float
    measured_by: str
    tokens: dict[str, float]
    note: str = ""


def timed(records: Sequence[Record], params: Params) -> list[tuple[Record, Throughput]]:
    """Every point of the grid that is timed, with its throughput.

    Its `note` tells of a failure at any stage, training and evaluation included.

    Raises:
        SourceError: if the results of a timing are missing.
    """
    sizes = (NO_ROWS, str(params.inference.train_size))
    return [
        (record, _measured(record, is_tested(record, params)))
        for record in records
        if record.train_size in sizes
    ]


def place(record: Record) -> Row:
    """The columns that name a point of the grid."""
    names = ("model", "dataset", "method", "train_size")
    return {name: getattr(record, name) for name in names}


def of_load_test(load_test: results.Metrics) -> Throughput:
    """The throughput in a load test's metrics."""
    sustained = float(load_test.get("sustained_rps") or 0)
    failure = "" if sustained else outcomes.note(load_test)
    tokens = {name: load_test[name] for name in TOKENS if name in load_test}
    return Throughput(sustained, LOAD_TEST, tokens, failure)


def of_timing(timing: results.Metrics) -> Throughput:
    """The throughput in the metrics of `time_inference`."""
    failure = outcomes.note(timing)
    by_batch = [timing[name] for name in timing if BY_BATCH.fullmatch(name)]
    return Throughput(0 if failure else max(by_batch), IN_PROCESS, {}, failure)


def _measured(record: Record, tested: bool) -> Throughput:
    run = Run(record.model, record.dataset, record.method)
    if tested:
        served = of_load_test(results.read(paths.load_test(run)))
    else:
        served = of_timing(results.read(paths.timing(run)))
    return replace(served, note=record.note or served.note)
