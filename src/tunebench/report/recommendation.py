"""The run to use for a data set: the cheapest of those that are as good as the best.

The best has the highest headline metric. As good are the runs that the paired test does not tell
from it on the same test rows, with Holm's correction for how many are compared. The cheapest of
them costs least in all for a number of requests: training, requests and, where params.yaml has a
price for it, labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunebench.config.schema import Params
from tunebench.errors import ParameterError, SourceError, suggest
from tunebench.metrics import paired
from tunebench.metrics.paired import Comparison
from tunebench.paths import Run
from tunebench.report import comparisons, costs, staleness, summary, throughput
from tunebench.report.summary import NO_ROWS, Record

REQUESTS = 100_000


@dataclass(frozen=True)
class Candidate:
    """A point of the grid, its cost, and its comparison with the best one.

    `comparison` is the best one's metric minus its own, None for the best itself; `p_adjusted` is
    Holm's. `machine_s` are the seconds of the machine in all, `usd` the dollars with the labels';
    None if its requests were not timed, or nothing has a price.
    """

    record: Record
    runs: list[Run]
    comparison: Comparison | None
    p_adjusted: float
    machine_s: float | None
    usd: float | None

    @property
    def as_good(self) -> bool:
        """Whether the test rows do not tell it from the best."""
        return self.comparison is None or self.p_adjusted >= paired.SIGNIFICANCE

    @property
    def score(self) -> float:
        """The headline metric."""
        return self.record.quality[self.record.headline]

    @property
    def run(self) -> Run:
        """The run to use: of several seeds the first."""
        return self.runs[0]

    @property
    def order(self) -> tuple[bool, float, int, float]:
        """The cheaper one is less: by dollars or seconds, then by rows, then by its score."""
        cost = self.machine_s if self.usd is None else self.usd
        rows = self.record.train_rows
        return cost is None, 0.0 if cost is None else cost, rows, -self.score


@dataclass(frozen=True)
class Recommendation:
    """The run to use, the best run, and all candidates, the highest score first."""

    chosen: Candidate
    best: Candidate
    candidates: list[Candidate]
    failed: list[Record]
    requests: int


def recommend(params: Params, dataset: str, *, requests: int = REQUESTS) -> Recommendation:
    """The run to use for a data set of the grid.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if results are missing, or no run has a score.
    """
    if dataset not in params.grid.datasets:
        raise ParameterError(
            [
                f"params.yaml: grid.datasets has no {dataset!r};"
                f" {suggest(dataset, params.grid.datasets)}"
            ]
        )
    params = _narrowed(params, dataset)
    records = summary.collect(params)
    scored = [record for record in records if record.quality]
    if not scored:
        raise SourceError(f"{dataset}: no run has a score: {records[0].note}; `dvc repro`")
    scored.sort(key=lambda record: (-record.quality[record.headline], record.train_rows))
    candidates = list(_compared(params, scored, records, requests))
    return Recommendation(
        chosen=min(
            (candidate for candidate in candidates if candidate.as_good),
            key=lambda candidate: candidate.order,
        ),
        best=candidates[0],
        candidates=candidates,
        failed=[record for record in records if not record.quality],
        requests=requests,
    )


def _narrowed(params: Params, dataset: str) -> Params:
    """The parameters with one data set in the grid, whose results are of these parameters."""
    grid = params.grid.model_copy(update={"datasets": [dataset]})
    narrowed = params.model_copy(update={"grid": grid})
    for run in staleness.runs(narrowed):
        for path, name in staleness.differences(narrowed, run):
            raise SourceError(
                f"{path}: was made with another {name} than params.yaml has; run `dvc repro`"
            )
    return narrowed


def _compared(
    params: Params, scored: Sequence[Record], records: Sequence[Record], requests: int
) -> Iterator[Candidate]:
    row_ids: dict[Run, list[str]] = {}
    runs = [_runs(params, record) for record in scored]
    values = [
        [draw for run in each for draw in comparisons.row_values(run, record.headline, row_ids)]
        for record, each in zip(scored, runs, strict=True)
    ]
    compared = [paired.compare(values[0], other) for other in values[1:]]
    adjusted = paired.holm([comparison.p for comparison in compared])
    rest: list[tuple[Comparison | None, float]] = [(None, 1.0)]
    rest += zip(compared, adjusted, strict=True)
    for record, own, (comparison, p) in zip(scored, runs, rest, strict=True):
        machine_s, usd = _cost(params, record, records, requests)
        yield Candidate(record, own, comparison, p, machine_s, usd)


def _runs(params: Params, record: Record) -> list[Run]:
    if record.train_size == NO_ROWS:
        return [Run(record.model, record.dataset, record.method)]
    (size,) = (size for size in params.grid.train_sizes if str(size) == record.train_size)
    return [
        Run(record.model, record.dataset, record.method, size, seed) for seed in params.grid.seeds
    ]


def _cost(
    params: Params, record: Record, records: Sequence[Record], requests: int
) -> tuple[float | None, float | None]:
    """Seconds of the machine and dollars, for training, labels and so many requests.

    A method answers as fast whatever it was trained on: one size of it is timed.
    """
    timed = next(
        other
        for other in records
        if (other.model, other.method) == (record.model, record.method)
        and throughput.is_timed(other, params)
    )
    served = throughput.in_process(timed)
    if served.note:
        return None, None
    seconds = record.training.get("machine_s", 0.0) + requests / served.requests_per_s
    price = params.hardware.usd_per_hour
    if not price and params.cost is None:
        return seconds, None
    return seconds, seconds * price / 3600 + costs.labels(record, params)
