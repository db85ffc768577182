"""Simulate how often intervals hold the truth, and how often tests claim what is not there:

    python benchmarks/coverage.py

The truth of each case is known, and all intervals, tests and decisions are the project's own
functions. Prints one JSON line, and the same as a Markdown table on standard error as it goes: a
row for each case, with what is asked and what was measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
import sustained_rate
from measure import machine
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from tunebench import metrics
from tunebench.config.inference import Serving
from tunebench.metrics import macro_f1, paired, statistics
from tunebench.metrics.statistics import Interval
from tunebench.report import break_even, power_law, prices, throughput
from tunebench.report.costs import Choice
from tunebench.report.summary import Record
from tunebench.report.tables import Row

Floats = NDArray[np.float64]
ROWS = (25, 100, 400)
HARD_TO_EASY = 0.8  # standard deviation of the rows' difficulty, in logits
SEEDS_APART = 0.035  # standard deviation of the seeds' accuracy
REPEATABILITY = 0.05  # relative standard deviation of the same work in another run
ROUNDS = 3
POWER_LAWS = [(0.1, 1.2, 0.5), (0.05, 0.8, 0.25), (0.2, 12.0, 1.0)]
SCORES_APART = 0.02  # standard error of a score, as of 400 test rows
UNTUNED: dict[str, Any] = {
    "objective": {"latency_p95_s": 1.0},
    "min_requests": 100,
    "hold_s": 10.0,
    "longest_hold_s": 30.0,
    "rate_precision": 0.2,
    "max_rates": 8,
}


@dataclass(frozen=True)
class Case:
    """One row of the table; `asked` is a bound such as `>= 0.93`."""

    what: str
    case: str
    asked: str
    measured: float

    @property
    def met(self) -> bool:
        """Whether the measured share is within its bound."""
        sign, bound = self.asked.split()
        return self.measured >= float(bound) if sign == ">=" else self.measured <= float(bound)


def main() -> None:
    """Print the table and the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="simulated test sets of each case")
    parser.add_argument("--searches", type=int, default=100, help="simulated load tests of each")
    given = parser.parse_args()
    cases = []
    note("| what | case | asked | measured | |\n|---|---|---|---|---|")
    for case in every(given.draws, given.searches):
        cases.append(case)
        met = "" if case.met else "missed"
        note(f"| {case.what} | {case.case} | {case.asked} | {case.measured:.3g} | {met} |")
    line = {"benchmark": "coverage", "machine": machine(), "draws": given.draws,
            "searches": given.searches, "cases": [asdict(case) for case in cases]}  # fmt: skip
    print(json.dumps(line))


def note(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def every(draws: int, searches: int) -> Iterator[Case]:
    """All cases."""
    yield from of_proportions(draws)
    yield from of_macro_f1(draws)
    yield from of_means(draws)
    yield from of_comparisons(draws)
    yield from of_families(draws)
    yield from of_quantiles(draws)
    yield from of_calibration(draws)
    yield from of_learning_curves(draws)
    yield from of_prices(draws)
    yield from of_rates(searches)


# quality ---------------------------------------------------------------------------------------


def of_proportions(draws: int) -> Iterator[Case]:
    """Accuracy, also where nearly all is right."""
    for right, rows in product((0.5, 0.8, 0.97), ROWS):
        random = np.random.default_rng(rows)
        hits = random.binomial(rows, right, draws)
        held = share(partial(interval_of_accuracy, rows), hits.tolist(), right)
        yield Case("interval of accuracy", f"{right} of {rows} rows", ">= 0.93", held)


def interval_of_accuracy(rows: int, hits: int) -> Interval:
    """The interval of one test set."""
    return statistics.of_proportion(hits, rows)


def of_macro_f1(draws: int) -> Iterator[Case]:
    """Macro-F1 by the number and balance of labels, where rows are enough by its own note."""
    draws = max(1, draws // 4)  # ten thousand resamples each
    for labels, balance, right, rows in product(
        (2, 4, 20), ("even", "Zipf"), (0.5, 0.8, 0.95), ROWS
    ):
        if metrics.narrow_interval([""] * rows, [str(label) for label in range(labels)]):
            continue  # it says so itself
        cells = confusion(labels, balance, right)
        true = float(np.mean(2 * np.diag(cells) / (cells.sum(0) + cells.sum(1))))
        drawn = np.random.default_rng(labels * rows).multinomial(rows, cells.ravel(), size=draws)
        held = share(partial(interval_of_macro_f1, labels), drawn, true)
        case = f"{labels} {balance} labels, {right} right, {rows} rows"
        yield Case("interval of macro-F1", case, ">= 0.93", held)


def confusion(labels: int, balance: str, right: float) -> Floats:
    """Probabilities of (gold, answer): errors fall on all other labels alike."""
    ranks = np.arange(1, labels + 1)
    gold = np.ones(labels) if balance == "even" else 1 / ranks
    errors = (1 - np.eye(labels)) / (labels - 1)
    cells: Floats = (gold / gold.sum())[:, None] * (right * np.eye(labels) + (1 - right) * errors)
    return cells


def interval_of_macro_f1(labels: int, counts: NDArray[np.int64]) -> Interval:
    """The interval of one test set, from the counts of its confusion matrix."""
    cells = np.repeat(np.arange(labels**2), counts)
    gold, answers = (column.astype(str).tolist() for column in np.divmod(cells, labels))
    return macro_f1.interval(gold, answers)


def of_means(draws: int) -> Iterator[Case]:
    """ROUGE: skewed values in [0, 1]."""
    for rows in ROWS:
        drawn = np.random.default_rng(rows).beta(1, 3, (draws, rows))
        held = share(lambda row: statistics.of_means({"x": row.tolist()})["x"], drawn, 0.25)
        yield Case("interval of ROUGE", f"Beta(1, 3), {rows} rows", ">= 0.93", held)


def of_comparisons(draws: int) -> Iterator[Case]:
    """Two methods that are equally good."""
    for rows in (25, 100, 400):
        rejected = fmean(same_method(np.random.default_rng(draw), 1, rows, 0.0).p < 0.05
                         for draw in range(draws))  # fmt: skip
        yield Case(
            "equal methods told apart", f"accuracy, 1 seed, {rows} rows", "<= 0.06", rejected
        )
    for seeds, rows, apart in ((2, 400, SEEDS_APART), (3, 400, SEEDS_APART), (3, 2000, SEEDS_APART),
                               (5, 400, SEEDS_APART), (3, 400, 0.0)):  # fmt: skip
        compared = [same_method(np.random.default_rng(draw), seeds, rows, apart)
                    for draw in range(draws)]  # fmt: skip
        case = f"accuracy, {seeds} seeds {100 * apart:g} points apart, {rows} rows"
        rejected = fmean(each.p < 0.05 for each in compared)
        yield Case("equal methods told apart", case, "<= 0.06", rejected)
        agree = fmean((each.p >= 0.05) == holds(each.interval, 0.0) for each in compared)
        yield Case("interval and p-value agree", case, ">= 1", agree)
    for rows in (5, 25, 200):
        random = np.random.default_rng(rows)
        pairs = random.beta(1, 3, (draws, 2, 1, rows))
        rejected = fmean(paired.compare(*pair.tolist()).p < 0.05 for pair in pairs)
        yield Case("equal methods told apart", f"ROUGE, 1 seed, {rows} rows", "<= 0.06", rejected)


def same_method(random: Generator, seeds: int, rows: int, apart: float) -> paired.Comparison:
    """Two methods whose seeds differ only by chance, on rows of differing difficulty."""
    chance = 1 / (1 + np.exp(-random.normal(0.5, HARD_TO_EASY, rows)))
    shifts = random.normal(0, apart, (2, seeds, 1))
    right = random.random((2, seeds, rows)) < np.clip(chance + shifts, 0, 1)
    return paired.compare(*right.astype(float).tolist())


def of_families(draws: int) -> Iterator[Case]:
    """A difference of eight standard errors among many pairs that do not differ."""
    for pairs in (100, 1000, 5000):
        found = 0
        for draw in range(max(1, draws // 10)):
            random = np.random.default_rng(draw)
            values = random.normal(8 * 0.1 / math.sqrt(50), 0.1, (1, 50))
            p = paired.compare(values.tolist(), [[0.0] * 50]).p
            others = random.random(pairs - 1).tolist()
            found += paired.holm([p, *others])[0] < paired.SIGNIFICANCE
        measured = found / max(1, draws // 10)
        yield Case("a clear difference is told", f"ROUGE, {pairs:,} pairs", ">= 0.9", measured)


def of_calibration(draws: int) -> Iterator[Case]:
    """ECE of probabilities that are right, beside what the project says it would be."""
    for rows in (25, 400):
        gaps = []
        for draw in range(max(1, draws // 5)):
            random = np.random.default_rng(draw)
            chance = random.uniform(0.05, 0.95, rows)
            scores = [{"a": math.log(each), "b": math.log(1 - each)} for each in chance]
            gold = ["a" if random.random() < each else "b" for each in chance]
            found = metrics.calibration(scores, gold)
            gaps.append(found["ece"] - found["ece_if_calibrated"])
        yield Case("|ECE - its value if calibrated|", f"{rows} rows", "<= 0.01", abs(fmean(gaps)))


# costs -----------------------------------------------------------------------------------------


def of_learning_curves(draws: int) -> Iterator[Case]:
    """What twice the largest size brings, by a power law through sizes that each double."""
    for (floor, scale, exponent), number in product(POWER_LAWS, (3, 5)):
        sizes = np.array([25.0 * 2**step for step in range(number)])
        errors = floor + scale * sizes**-exponent
        true = float(errors[-1] - floor - scale * (2 * sizes[-1]) ** -exponent)
        gains = []
        for draw in range(draws):
            noise = np.random.default_rng(draw).normal(0, SCORES_APART, number)
            seen = np.clip(errors + noise, 0, 1)
            law = power_law.fit(sizes.tolist(), seen.tolist(), [SCORES_APART] * number)
            if law.fits:
                gains.append(law.gain(2)[1])
        held = fmean(holds(gain, true) for gain in gains) if gains else 0.0
        case = f"{floor:g} + {scale:g}·n^-{exponent:g}, {number} sizes"
        yield Case("gain of twice the rows", case, ">= 0.9", held)
        yield Case("power law refused", case, "<= 0.1", 1 - len(gains) / draws)


def of_quantiles(draws: int) -> Iterator[Case]:
    """Percentiles of latency, where they are given at all."""
    for percent, rows in product((50, 90, 99), (24, 100, 368, 1000)):
        fraction = percent / 100
        if rows < statistics.needed_for_quantile(fraction):
            continue
        drawn = np.random.default_rng(rows).lognormal(0, 0.5, (draws, rows))
        true = math.exp(0.5 * float(norm.ppf(fraction)))
        held = share(partial(interval_of_quantile, fraction), drawn, true)
        yield Case(f"interval of p{percent}", f"{rows} requests", ">= 0.93", held)


def interval_of_quantile(fraction: float, seconds: Floats) -> Interval:
    """The interval of one sample, which is large enough."""
    interval = statistics.of_quantile(seconds.tolist(), fraction)
    assert interval
    return interval


def of_prices(draws: int) -> Iterator[Case]:
    """Break-even of two methods that are timed in three rounds each, in runs that differ by 5%."""
    one = [cheaper(np.random.default_rng(draw), (2.0, 0.5), (2.0, 0.5)) for draw in range(draws)]
    claimed = fmean(row["always_cheaper"] != break_even.UNKNOWN for row in one)
    yield Case("cheaper of two names of one network", "trained", "<= 0.1", claimed)
    one = [cheaper(np.random.default_rng(draw), (0.0, 0.5), (0.0, 0.5)) for draw in range(draws)]
    claimed = fmean(row["always_cheaper"] != break_even.UNKNOWN for row in one)
    yield Case("cheaper of two names of one network", "prompted", "<= 0.06", claimed)
    for factor in (1.5, 3.0):
        rows = [cheaper(np.random.default_rng(draw), (2.0, 0.5), (0.0, 0.5 * factor))
                for draw in range(draws)]  # fmt: skip
        true = 2.0 / (0.5 * (factor - 1)) * 1000
        held = fmean(
            (row["requests_low"] or 0) * 0.99 <= true <= (row["requests_high"] or math.inf) * 1.01
            for row in rows
        )
        case = f"requests cost {factor:g} times as much"
        yield Case("range of the break-even", case, ">= 0.93", held)


def cheaper(random: Generator, *methods: tuple[float, float]) -> Row:
    """The row of two methods of which the dollars in all and for 1,000 requests are known."""
    choices = []
    for name, (once, each) in zip("ab", methods, strict=True):
        between = random.normal(0, REPEATABILITY, 2)
        rounds = each * np.exp(between[0] + random.normal(0, 0.03, ROUNDS))
        usd, ends = statistics.of_geometric_mean(rounds.tolist())
        assert ends
        trained = once * math.exp(between[1])
        choices.append(
            Choice(
                Record("tiny", "posts", "classification", name, "1.0", 100, 1, {}, {}, {}),
                throughput.Throughput(1.0, throughput.IN_PROCESS),
                prices.measured(trained, (trained, trained), REPEATABILITY),
                None,
                prices.measured(usd, ends, REPEATABILITY),
            )
        )
    return break_even.cheaper(*choices)


def of_rates(searches: int) -> Iterator[Case]:
    """The rate that a load test reports, of queues on which nothing was tuned."""
    for queue in ("one server", "several servers"):
        found = sustained_rate.simulate(queue, Serving(**UNTUNED), searches)
        case = f"{queue}, p95 <= 1 s, at most 30 s a rate"
        yield Case("interval of the sustained rate", case, ">= 0.9", found["contains"])
        yield Case("sustained rate above the true one", case, "<= 0.1", found["above"])


def share(interval: Callable[[Any], Interval], samples: Iterable[Any], true: float) -> float:
    """The share of samples whose interval holds the truth."""
    return fmean(holds(interval(sample), true) for sample in samples)


def holds(interval: Interval, true: float) -> bool:
    """Whether an interval holds a value."""
    low, high = interval
    return bool(low <= true <= high)


if __name__ == "__main__":
    main()
