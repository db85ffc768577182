"""How many requests a second one machine answers, by the best measurement there is."""

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
BY_BATCH = re.compile(r"requests_per_s_batch_\d+")  # the ends of its interval apart
# mean tokens of a request and of its answer, where a load test counted them
TOKENS = ("tokens_in_mean", "tokens_out_mean")


@dataclass(frozen=True)
class Throughput:
    """Requests a second, 0 where `note` says why there are none, and how they were measured.

    Behind a server they are those that met the objective of the load test; in process, those of the
    batch size that answered most, with no request waiting and no server between.
    """

    requests_per_s: float
    measured_by: str
    tokens: dict[str, float]
    note: str = ""


def timed(records: Sequence[Record], params: Params) -> list[tuple[Record, Throughput]]:
    """Every point of the grid that was to be timed, with its throughput.

    Its `note` tells of a run that failed at anything, training and answering included.

    Raises:
        SourceError: if a timing has not been made yet.
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


def of_load_test(found: results.Metrics) -> Throughput:
    """The throughput that a load test's metrics tell."""
    sustained = float(found.get("sustained_rps") or 0)
    failed = "" if sustained else outcomes.note(found)
    tokens = {name: found[name] for name in TOKENS if name in found}
    return Throughput(sustained, LOAD_TEST, tokens, failed)


def of_timing(found: results.Metrics) -> Throughput:
    """The throughput that the metrics of the model in one process tell."""
    failed = outcomes.note(found)
    by_batch = [found[name] for name in found if BY_BATCH.fullmatch(name)]
    return Throughput(0 if failed else max(by_batch), IN_PROCESS, {}, failed)


def _measured(record: Record, tested: bool) -> Throughput:
    run = Run(record.model, record.dataset, record.method)
    if tested:
        served = of_load_test(results.read(paths.load_test(run)))
    else:
        served = of_timing(results.read(paths.timing(run)))
    return replace(served, note=record.note or served.note)
