"""The paired test of one result in two revisions, on the same test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebench.metrics import paired
from tunebench.metrics.paired import Comparison
from tunebench.report import row_scores
from tunebench.report.revisions import Cache, Place, Revision

ROUNDING = 1e-4  # of metrics in results.json


@dataclass(frozen=True)
class Retest:
    """After minus before; without a comparison the answers are the same, or `why_not` says why."""

    comparison: Comparison | None = None
    why_not: str = ""


def retest(place: Place, metric: str, old: Revision, new: Revision, cache: Cache) -> Retest:
    """Compare a metric of one point of the grid, as far as both revisions' predictions are here."""
    runs = new.runs(place)
    if runs != old.runs(place):
        return Retest(why_not="they are of other seeds")
    sides: list[list[Path]] = []
    for revision in (old, new):
        found = [revision.predictions(run, cache) for run in runs]
        files = [path for path in found if path is not None]
        if len(files) < len(runs):
            return Retest(why_not=f"the predictions of {revision.name} are not in DVC's cache")
        sides.append(files)
    if sides[0] == sides[1]:
        return Retest()
    try:
        values = [_values(files, metric) for files in sides]
    except (KeyError, TypeError):
        return Retest(why_not="their predictions do not have that metric")
    (before_ids, before), (after_ids, after) = values
    known = [revision.results[place][metric] for revision in (old, new)]
    if before_ids != after_ids:
        return Retest(why_not="the test rows are not the same")
    if any(
        abs(_mean(draws) - score) > ROUNDING
        for draws, score in zip((before, after), known, strict=True)
    ):
        return Retest(why_not="predictions and metrics are of different runs")
    if len({len(before), len(after)} - {1}) > 1:
        return Retest(why_not="they have other numbers of draws")
    return Retest(paired.compare(after, before))


def _values(files: Sequence[Path], metric: str) -> tuple[list[list[str]], list[list[float]]]:
    """The ids of the test rows, once for all files if they agree; and the scores of all draws."""
    read = [row_scores.read(path, metric) for path in files]
    ids = [each.ids for each in read]
    return ids, [draw for each in read for draw in each.draws]


def _mean(draws: Sequence[Sequence[float]]) -> float:
    return sum(map(sum, draws)) / sum(map(len, draws)) if any(draws) else -1.0
