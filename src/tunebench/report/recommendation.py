"""The run to use for a data set: the cheapest of those that are as good as the best.

The best has the highest headline metric. As good are the runs that the paired test does not tell
from it on the same test rows, with Holm's correction for how many are compared. The cheapest of
them costs least in all for a number of requests: training, requests and, where params.yaml has a
price for it, labels. Of several whose costs the timings do not tell apart, it is the one with the
highest score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from tunebench.config.schema import Params
from tunebench.errors import ParameterError, SourceError, suggest
from tunebench.metrics import paired
from tunebench.metrics.paired import Comparison
from tunebench.paths import Run
from tunebench.report import costs, prices, staleness, summary, throughput
from tunebench.report.prices import Usd as Amount  # of seconds too, which add up as dollars do
from tunebench.report.row_scores import ScoreBook
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.throughput import Throughput

REQUESTS = 100_000


@dataclass(frozen=True)
class Candidate:
    """A point of the grid, its cost, and its comparison with the best one.

    `comparison` is the best one's metric minus its own, None for the best itself; `p_adjusted` is
    Holm's. `requests_s` are the seconds of the machine for all requests, None if these were not
    timed; `usd_for_labels` is None where params.yaml has no price of a label.
    """

    record: Record
    runs: list[Run]
    comparison: Comparison | None
    p_adjusted: float
    training_s: Amount
    requests_s: Amount | None
    usd_per_s: float
    usd_for_labels: float | None

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
    def machine(self) -> Amount | None:
        """Seconds of the machine in all; None if its requests were not timed."""
        return None if self.requests_s is None else self.training_s + self.requests_s

    @property
    def dollars(self) -> Amount | None:
        """Dollars in all, labels included; None if it was not timed, or nothing has a price."""
        if self.machine is None or (not self.usd_per_s and self.usd_for_labels is None):
            return None
        return self.machine.times(self.usd_per_s) + Amount.exact(self.usd_for_labels or 0.0)

    @property
    def machine_s(self) -> float | None:
        """`machine` without its interval."""
        return None if self.machine is None else self.machine.usd

    @property
    def usd(self) -> float | None:
        """`dollars` without their interval."""
        return None if self.dollars is None else self.dollars.usd

    @property
    def order(self) -> tuple[bool, float, int, float]:
        """The cheaper one is less: by dollars or seconds, then by rows, then by its score."""
        cost = self.machine_s if self.usd is None else self.usd
        rows = self.record.train_rows
        return cost is None, 0.0 if cost is None else cost, rows, -self.score

    def as_cheap(self, cheapest: Candidate) -> bool:
        """Whether it is not shown to cost more than the cheapest one, nor trained on more rows."""
        own, other = self.dollars or self.machine, cheapest.dollars or cheapest.machine
        more_rows = self.record.train_rows > cheapest.record.train_rows
        if self is cheapest or own is None or other is None or more_rows:
            return self is cheapest
        return (own - other).low <= 0


@dataclass(frozen=True)
class Recommendation:
    """The best run and all candidates of a data set, the highest score first."""

    candidates: list[Candidate]
    failed: list[Record]
    requests: int
    test_rows: int

    @property
    def best(self) -> Candidate:
        """The one with the highest score."""
        return self.candidates[0]

    @property
    def as_good(self) -> list[Candidate]:
        """The best and those that the test rows do not tell from it."""
        return [candidate for candidate in self.candidates if candidate.as_good]

    @property
    def cheapest(self) -> Candidate:
        """The one of those that seems to cost least."""
        return min(self.as_good, key=lambda candidate: candidate.order)

    @property
    def chosen(self) -> Candidate:
        """The run to use: of those that are not shown to cost more, the one that scores highest."""
        cheapest = self.cheapest
        return next(each for each in self.as_good if each.as_cheap(cheapest))

    def of_best_model(self) -> Recommendation:
        """The part on the model of the best run, judged as before among all models' runs."""
        model = self.best.record.model
        return replace(
            self,
            candidates=[
                each
                for each in self.candidates
                if each.record.model == model or each.record.beside_models
            ],
            failed=[
                record for record in self.failed if record.model == model or record.beside_models
            ],
        )


def recommend(params: Params, dataset: str, *, requests: int = REQUESTS) -> Recommendation:
    """The run to use for a data set of the grid.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if results are missing, or no run has a score.
    """
    params = narrowed(params, dataset)
    records = summary.collect(params)
    found = among(params, records, requests=requests)
    if found is None:
        raise SourceError(f"{dataset}: no run has a score: {records[0].note}; `dvc repro`")
    return found


def among(
    params: Params,
    records: Sequence[Record],
    *,
    requests: int = REQUESTS,
    scores: ScoreBook | None = None,
) -> Recommendation | None:
    """The run to use of some records of one data set; None if none of them has a score.

    Args:
        scores: of the runs, as far as they are read already.
    """
    scored = [record for record in records if record.quality]
    if not scored:
        return None
    scored.sort(key=lambda record: (-record.quality[record.headline], record.train_rows))
    scores = scores or ScoreBook()
    runs = [runs_of(params, record) for record in scored]
    values = [scores.of(each, record.headline) for record, each in zip(scored, runs, strict=True)]
    return Recommendation(
        candidates=[
            _candidate(params, record, records, requests, *compared)
            for record, compared in zip(scored, _compared(values), strict=True)
        ],
        failed=[record for record in records if not record.quality],
        requests=requests,
        test_rows=len(values[0][0]),
    )


def narrowed(params: Params, dataset: str) -> Params:
    """The parameters with one data set in the grid, whose results are of these parameters.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if a result is of other parameters.
    """
    if dataset not in params.grid.datasets:
        raise ParameterError(
            [
                f"params.yaml: grid.datasets has no {dataset!r};"
                f" {suggest(dataset, params.grid.datasets)}"
            ]
        )
    grid = params.grid.model_copy(update={"datasets": [dataset]})
    params = params.model_copy(update={"grid": grid})
    for run in staleness.runs(params):
        for path, name in staleness.differences(params, run):
            raise SourceError(
                f"{path}: was made with another {name} than params.yaml has; run `dvc repro`"
            )
    return params


def _compared(values: Sequence[list[list[float]]]) -> list[tuple[Comparison | None, float]]:
    """The first one's comparison with each, and Holm's p-value; none with itself."""
    compared = [paired.compare(values[0], other) for other in values[1:]]
    adjusted = paired.holm([comparison.p for comparison in compared])
    return [(None, 1.0), *zip(compared, adjusted, strict=True)]


def runs_of(params: Params, record: Record) -> list[Run]:
    """The runs of a record, one for each seed."""
    if record.train_size == NO_ROWS:
        return [Run(record.model, record.dataset, record.method)]
    (size,) = (size for size in params.grid.train_sizes if str(size) == record.train_size)
    return [
        Run(record.model, record.dataset, record.method, size, seed) for seed in params.grid.seeds
    ]


def _candidate(
    params: Params,
    record: Record,
    records: Sequence[Record],
    requests: int,
    comparison: Comparison | None,
    p: float,
) -> Candidate:
    """A candidate with its costs.

    A method answers as fast whatever it was trained on: one size of it is timed.
    """
    timed = next(
        other
        for other in records
        if (other.model, other.method) == (record.model, record.method)
        and throughput.is_timed(other, params)
    )
    served, machine = throughput.in_process(timed), params.hardware
    trained = record.training.get("machine_s", 0.0)
    return Candidate(
        record,
        runs_of(params, record),
        comparison,
        p,
        training_s=prices.measured(trained, (trained, trained), machine.repeatability),
        requests_s=None if served.note else _answering(served, requests, machine.repeatability),
        usd_per_s=machine.usd_per_hour / 3600,
        usd_for_labels=None if params.cost is None else costs.labels(record, params),
    )


def _answering(served: Throughput, requests: int, repeatability: float) -> Amount:
    slow, fast = served.interval
    ends = requests / fast, requests / slow if slow else inf
    return prices.measured(requests / served.requests_per_s, ends, repeatability)
