"""Whether a rate holds, from its requests in the order in which they were due.

Late requests come in clusters: while a queue is long, all that arrive are late. So a share of late
requests has a wider interval than one of as many independent requests, and here each bound is an
exact binomial one (Clopper & Pearson 1934) of an effective number of requests, as surveys of
clustered samples take it (Korn & Graubard 1998, Survey Methodology 24):

- The lower bound divides by the design effect of late requests, from the means of batches.
- The upper bound must hold where none was late yet, so it takes the clusters of the slowest tenth
  instead: their extremal index (Ferro & Segers 2003, J. R. Stat. Soc. B 65, the intervals
  estimator), and the design effect where some are late. Batches must also tell that the latencies
  are worth at least `INDEPENDENT` independent ones; so a queue that still grows is not decided.
  The first requests met an empty queue and do not count in it. And the load must be long against
  the queue's memory: the means of its stretches must vary little more than independent ones do.

A rate is looked at several times while its load runs, and the error is split over these looks.
`benchmarks/sustained_rate.py` measures the errors on queues whose answer is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

Verdict = Literal["holds", "fails", "undecided"]
Floats = NDArray[np.float64]

ERROR = 0.05  # of each bound of one rate, over all looks
BATCHES = 10
START_UP = 0.3  # the fraction of requests that does not count in the upper bound
SLOWEST = 0.1  # whose clusters stand for those of late requests
# with 20, and no look at the memory, 59% of M/M/1 queues at the p90's limit seemed to hold
INDEPENDENT = 35
STRETCHES = 100  # of a load
MEMORY = 2.0  # the most variance of the stretches' batches, as a multiple of independent ones


@dataclass(frozen=True)
class Limit:
    """At most a share `allowed` of requests may take more than `seconds`.

    `what` is taken: `latency` or `time_to_first_token`.
    """

    what: str
    allowed: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """When a rate is looked at: after `first` requests, then twice as many, and at last `most`.

    Before `hold` requests it may be shown to fail, but not to hold.
    """

    limits: Sequence[Limit]
    first: int
    hold: int
    most: int

    @property
    def looks(self) -> list[int]:
        """Numbers of requests.

        >>> Plan([], first=100, hold=300, most=500).looks
        [100, 200, 400, 500]
        """
        numbers = [self.first]
        while numbers[-1] * 2 < self.most:
            numbers.append(numbers[-1] * 2)
        return [*numbers, self.most] if numbers[-1] < self.most else numbers

    def verdict(self, seconds: Mapping[str, Sequence[float] | Floats]) -> Verdict:
        """What the first requests tell, at one look.

        All limits must hold, and one that fails is enough, so its error is split over the limits.

        Args:
            seconds: what is limited → the seconds of each request in due order; inf if it failed.
        """
        error = ERROR / len(self.looks)
        taken = {what: np.asarray(values, dtype=np.float64) for what, values in seconds.items()}
        if any(
            lower_bound(taken[limit.what], limit, error / len(self.limits)) > limit.allowed
            for limit in self.limits
        ):
            return "fails"
        long_enough = all(len(values) >= self.hold for values in taken.values())
        if long_enough and all(
            upper_bound(taken[limit.what], limit, error) <= limit.allowed for limit in self.limits
        ):
            return "holds"
        return "undecided"

    @property
    def can_hold(self) -> bool:
        """Whether `most` requests could show that the rate holds, if they were independent."""
        error = ERROR / len(self.looks)
        counted = self.most - int(START_UP * self.most)
        return counted >= INDEPENDENT * _t_ratio(error) and all(
            float(beta.ppf(1 - error, 1, counted)) <= limit.allowed for limit in self.limits
        )


def lower_bound(seconds: Floats, limit: Limit, error: float) -> float:
    """The share of late requests is below it with probability `error`."""
    late = seconds > limit.seconds
    count = int(late.sum())
    if not count:
        return 0.0
    effect = _design_effect(late) * _t_ratio(error)
    return float(beta.ppf(error, count / effect, (len(late) - count) / effect + 1))


def upper_bound(seconds: Floats, limit: Limit, error: float) -> float:
    """The share of late requests is above it with probability `error`; 1 if too few tell."""
    seconds = seconds[int(START_UP * len(seconds)) :]
    late = seconds > limit.seconds
    count = int(late.sum())
    slow = seconds > np.quantile(seconds, 1 - max(SLOWEST, limit.allowed), method="lower")
    if len(late) < INDEPENDENT * _design_effect(slow) * _t_ratio(error):
        return 1.0
    if _remembers(np.minimum(seconds, limit.seconds)):
        return 1.0
    effect = 1 / _extremal_index(slow)
    if count:
        effect = max(effect, _design_effect(late) * _t_ratio(error))
    if count == len(late):
        return 1.0
    return float(beta.ppf(1 - error, count / effect + 1, (len(late) - count) / effect))


def _design_effect(flags: NDArray[np.bool_]) -> float:
    """How many times the variance of a share is that of independent flags, at least 1."""
    size, share = len(flags) // BATCHES, float(flags.mean())
    if not size or share in (0.0, 1.0):
        return 1.0
    means = flags[len(flags) - size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    return max(1.0, size * float(means.var(ddof=1)) / (share * (1 - share)))


def _remembers(seconds: Floats) -> bool:
    """Whether the queue's state lasts too long for this many requests to tell the long run.

    Latencies of several servers hardly show their queue, since each request's own time hides it;
    means of a stretch do. Without this, 78% of M/M/8 queues were shown to hold at the p90's limit.
    """
    length = max(1, len(seconds) // STRETCHES)
    stretches = seconds[len(seconds) % length :].reshape(-1, length).mean(axis=1)
    size = len(stretches) // BATCHES
    batches = stretches[len(stretches) - size * BATCHES :].reshape(BATCHES, size)
    variance = float(batches.var())
    return size * float(batches.mean(axis=1).var(ddof=1)) > MEMORY * variance


def _t_ratio(error: float) -> float:
    """How much fewer independent values a variance from so few batches amounts to."""
    return float(t.ppf(error, BATCHES - 1) / norm.ppf(error)) ** 2


def _extremal_index(flags: NDArray[np.bool_]) -> float:
    """One over the mean size of a cluster of flags, by the intervals estimator."""
    gaps: Any = np.diff(np.flatnonzero(flags)).astype(np.float64)
    if not len(gaps):
        return 1.0
    if gaps.max() <= 2:
        index = 2 * gaps.sum() ** 2 / (len(gaps) * (gaps**2).sum())
    else:
        index = 2 * (gaps - 1).sum() ** 2 / (len(gaps) * ((gaps - 1) * (gaps - 2)).sum())
    return min(1.0, max(float(index), 1 / len(flags)))
