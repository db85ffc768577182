"""What changed between two revisions: parameters, and each score with its paired test.

A score is compared on the same test rows where the predictions of both are in DVC's cache, as
methods are (`metrics.paired`), else by the intervals of the two, which tells less. Holm's
correction counts all scores that are tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from math import erfc, exp, hypot, log, sqrt
from typing import Any

from tunebench import metrics, results
from tunebench.metrics import paired
from tunebench.report import headlines, prices
from tunebench.report.prices import Usd
from tunebench.report.retest import retest
from tunebench.report.revisions import Cache, Place, Repository, Revision
from tunebench.report.summary import NO_ROWS

Metrics = Mapping[str, Any]

SAME, NOISE, UNKNOWN = "the same", "within noise", "no interval"
BETTER, WORSE, LESS, MORE = "better", "worse", "less", "more"
NEW, GONE, FAILED, FAILED_NOW, SCORED_NOW = (
    "new", "gone", "failed in both", "failed now", "has a score now",
)  # fmt: skip
PAIRED, INTERVALS = "paired test", "intervals"
FURTHER = [name for names in headlines.QUALITY.values() for name in names[1:]]
REPEATABILITY = 0.05  # `hardware.repeatability` where params.yaml does not say


@dataclass(frozen=True)
class Change:
    """One number of one point of the grid, before and after.

    `difference` is after minus before, with its 95% interval where there is one; for costs it is a
    share of the cost before. `p` is adjusted for how many are tested. `by` says how it was
    compared, and `note` why not by the paired test, or why there is no score.
    """

    run: str
    metric: str
    before: float | None
    after: float | None
    verdict: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    by: str = ""
    note: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter's value before and after; None where it is not set."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Changes:
    """What changed between two revisions.

    `scores` has each point's headline metric, `further` the second metric of its task, `costs`
    what `dvc metrics show` lists beside them. `repeatability` is the relative standard deviation
    from run to run that costs are judged with.
    """

    before: str
    after: str
    parameters: list[Parameter]
    scores: list[Change]
    further: list[Change]
    costs: list[Change]
    repeatability: float

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, for the page and for programs."""
        return asdict(self)


def between(before: str, after: str | None = None) -> Changes:
    """The changes from one revision to another, or to the working tree.

    Raises:
        ParameterError: if a revision does not exist.
        SourceError: if one has no results, or this is no Git repository.
    """
    repository = Repository()
    old = repository.revision(before)
    new = repository.working_tree() if after is None else repository.revision(after)
    return changes(old, new, Cache.here())


def changes(old: Revision, new: Revision, cache: Cache) -> Changes:
    """The changes between two states of a study."""
    places = list(dict.fromkeys([*new.results, *old.results]))
    with ThreadPoolExecutor() as pool:  # Arrow reads without Python's lock
        scores = list(pool.map(lambda place: _score(place, old, new, cache), places))
    in_both = [
        (_run(place), old.results[place], new.results[place])
        for place in places
        if place in old.results and place in new.results
    ]
    repeatability = max(_repeatability(old), _repeatability(new))
    return Changes(
        before=described(old),
        after=described(new),
        parameters=list(_parameters(old.params, new.params)),
        scores=_adjusted(scores, (WORSE, BETTER)),
        further=_adjusted(
            (
                _by_intervals(run, name, before, after)
                for run, before, after in in_both
                for name in FURTHER
                if name in before and name in after
            ),
            (WORSE, BETTER),
        ),
        costs=_adjusted(
            (
                _cost(run, name, before, after, repeatability)
                for run, before, after in in_both
                for name in headlines.COSTS
                if headlines.cost(before, name) and headlines.cost(after, name)
            ),
            (LESS, MORE),
        ),
        repeatability=repeatability,
    )


def described(revision: Revision) -> str:
    """`main (3f2a1b0, Lower the learning rate)`."""
    commit = revision.commit if revision.commit != revision.name else ""
    inner = ", ".join(filter(None, (commit, revision.subject)))
    return f"{revision.name} ({inner})" if inner else revision.name


def _parameters(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Parameter]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for name in dict.fromkeys([*after, *before]):
        if before.get(name) != after.get(name):
            yield Parameter(name, before.get(name), after.get(name))


def _flat(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each parameter by its path, as DVC names it; a list is one value."""
    if isinstance(content, Mapping) and (content or not place):
        for key, value in content.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, content


def _run(place: Place) -> str:
    return "/".join(place[:3] if place[3] == NO_ROWS else place)


def _score(place: Place, old: Revision, new: Revision, cache: Cache) -> Change:
    """The headline metric of one point of the grid; without a verdict yet where it is tested."""
    before, after = old.results.get(place), new.results.get(place)
    known = {**(before or {}), **(after or {})}
    metric = next((name for name in metrics.HEADLINE.values() if name in known), "")
    values = ((before or {}).get(metric), (after or {}).get(metric))
    change = Change(_run(place), metric, *values, note=str(known.get("note", "")))
    if before is None or after is None:
        return replace(change, verdict=NEW if before is None else GONE)
    if change.before is None or change.after is None:
        only = FAILED_NOW if change.after is None else SCORED_NOW
        return replace(change, verdict=only if metric else FAILED)
    tested = retest(place, metric, old, new, cache)
    if tested.why_not:
        return replace(_by_intervals(_run(place), metric, before, after), note=tested.why_not)
    if tested.comparison is None:
        return replace(change, verdict=SAME, difference=0.0, by=PAIRED)
    found = tested.comparison
    low, high = found.interval
    return replace(change, difference=found.difference, low=low, high=high, p=found.p, by=PAIRED)


def _by_intervals(run: str, metric: str, before: Metrics, after: Metrics) -> Change:
    """A difference with the errors of both sides, as if they were of different test rows."""
    change = Change(run, metric, before[metric], after[metric], by=INTERVALS)
    difference = after[metric] - before[metric]
    if not difference:
        return replace(change, difference=0.0, verdict=SAME)
    sides = [(side[metric], *(side.get(end) for end in metrics.interval(metric)))
             for side in (before, after)]  # fmt: skip
    if any(end is None for side in sides for end in side):
        return replace(change, difference=difference, verdict=UNKNOWN)
    old, new = (Usd(*side) for side in sides)  # their errors add up as those of prices do
    around = new - old
    error = max(around.usd - around.low, around.high - around.usd) / prices.TWO_SIDED
    p = _two_sided(difference / error) if error else 1.0
    return replace(change, difference=difference, low=around.low, high=around.high, p=p)


def _cost(run: str, name: str, before: Metrics, after: Metrics, repeatability: float) -> Change:
    """A cost, whose difference is a share of the cost before."""
    old, new = (_spread(side, name, repeatability) for side in (before, after))
    change = Change(run, name, old[0], new[0], by=INTERVALS)
    ratio, error = log(new[0] / old[0]), hypot(old[1], new[1])
    if not ratio:
        return replace(change, verdict=SAME, difference=0.0)
    low, high = (exp(ratio + sign * prices.TWO_SIDED * error) - 1 for sign in (-1, 1))
    p = _two_sided(ratio / error) if error else 0.0
    return replace(change, difference=exp(ratio) - 1, low=low, high=high, p=p)


def _spread(side: Metrics, name: str, repeatability: float) -> tuple[float, float]:
    """A cost and the standard error of its logarithm, from run to run and within one."""
    merged = f"merged_{name}"
    form = merged if merged in side else name
    cost: float = side[form]
    low, high = (side.get(end, cost) for end in metrics.interval(form))
    within = max(log(cost / low), log(high / cost)) / prices.TWO_SIDED
    return cost, hypot(repeatability, within)


def _two_sided(deviations: float) -> float:
    return erfc(abs(deviations) / sqrt(2))


def _adjusted(changes: Iterable[Change], words: tuple[str, str]) -> list[Change]:
    """The changes with Holm's p-values, and a verdict for each: less or more than before."""
    listed = list(changes)
    tested = [change.p for change in listed if change.p is not None]
    adjusted = iter(paired.holm(tested))
    return [
        change if change.p is None else _judged(change, next(adjusted), words) for change in listed
    ]


def _judged(change: Change, p: float, words: tuple[str, str]) -> Change:
    assert change.difference is not None
    told = words[change.difference > 0] if p < paired.SIGNIFICANCE else NOISE
    return replace(
        change,
        verdict=told,
        difference=_rounded(change.difference),
        low=_rounded(change.low),
        high=_rounded(change.high),
        p=results.rounded(p, 3),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else results.rounded(value, 4)


def _repeatability(revision: Revision) -> float:
    hardware = revision.params.get("hardware")
    value = hardware.get("repeatability") if isinstance(hardware, Mapping) else None
    return float(value) if isinstance(value, int | float) else REPEATABILITY
