"""The differences between methods that answered the same test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebench.paths import BASELINE
from tunebench.report.page.figures import ChartRow, Figure, points
from tunebench.report.page.runs import PageRun
from tunebench.report.summary import NO_ROWS
from tunebench.report.tables import Row

WRITTEN = 14  # methods up to which each difference is written into its cell


def build(runs: Sequence[PageRun], comparisons: Sequence[Row]) -> Figure | None:
    """The matrix of one data set, a group for each model and train size; None without a pair.

    Args:
        comparisons: the data set's rows of that table.
    """
    if not comparisons:
        return None
    by_place = {
        (run.record.model, run.record.method, run.record.train_size): run
        for run in runs
        if run.score
    }
    models = dict.fromkeys(str(row["model"]) for row in comparisons)
    rows = [
        {"group": _group(model, size, by_place, several=len(models) > 1), **row}
        for model in models
        for size in _sizes(comparisons, model)
        for row in _matrix([row for row in comparisons if row["model"] == model], size, by_place)
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))[::-1]
    titles = {group: _title(group, [row for row in rows if row["group"] == group])
              for group in groups}  # fmt: skip
    few = "true" if len({row["better"] for row in rows}) < WRITTEN else "false"
    values = {"most": max(row["difference"] for row in rows) or 1, "few": few}
    return Figure("pairs", runs[0].dataset, titles[groups[0]], rows, values, groups=titles)


def _sizes(comparisons: Sequence[Row], model: str) -> list[str]:
    """The train sizes that are compared, the largest last; prompting alone if there is no other."""
    sizes = dict.fromkeys(str(row["train_size"]) for row in comparisons if row["model"] == model)
    return [size for size in sizes if size != NO_ROWS] or [NO_ROWS]


def _group(
    model: str, size: str, by_place: dict[tuple[str, str, str], PageRun], *, several: bool
) -> str:
    rows = next(run.record.train_rows for place, run in by_place.items()
                if place[0] in (model, BASELINE) and place[2] == size)  # fmt: skip
    trained = f"{rows:,} rows" if size != NO_ROWS else "prompting"
    return f"{model}: {trained}" if several else trained


def _matrix(
    comparisons: Sequence[Row], size: str, by_place: dict[tuple[str, str, str], PageRun]
) -> Iterator[ChartRow]:
    """Each pair once, always the better one minus the worse."""
    chosen = [row for row in comparisons if str(row["train_size"]) in (NO_ROWS, size)]
    pairs = []
    for row in chosen:
        first, second = (_run(row, name, size, by_place) for name in ("method", "other"))
        ends = (row["difference"], row["difference_low"], row["difference_high"])
        if row["difference"] < 0:
            first, second, ends = second, first, (-ends[0], -ends[2], -ends[1])
        pairs.append((first, second, ends, row))
    ranks = _ranks(run for first, second, _, _ in pairs for run in (first, second))
    for first, second, ends, row in pairs:
        real = row["distinguishable"] == "yes"
        text = points(*ends)
        yield {
            "run": first.id, "other": second.id, "better": first.record.method,
            "worse": second.record.method, "better_rank": ranks[first.id],
            "worse_rank": ranks[second.id], "difference": 100 * ends[0], "real": real,
            "text": text, "shown": text.partition(" (")[0],
            "verdict": "tell them apart" if real else _needed(row["test_rows_needed"]),
        }  # fmt: skip


def _run(row: Row, name: str, size: str, by_place: dict[tuple[str, str, str], PageRun]) -> PageRun:
    places = [(row["model"], row[name], NO_ROWS), (row["model"], row[name], size),
              (BASELINE, row[name], size)]  # fmt: skip
    return next(by_place[place] for place in places if place in by_place)


def _needed(rows: int | str) -> str:
    """What would tell two methods apart: so many test rows, or other words of `report.power`."""
    needed = f"about {rows:,}" if isinstance(rows, int) else rows
    return f"do not tell them apart; {needed} would"


def _ranks(runs: Iterator[PageRun]) -> dict[int, int]:
    scores = {run.id: run.score.value for run in runs if run.score}
    return {run: rank for rank, run in enumerate(sorted(scores, key=lambda run: -scores[run]))}


def _title(group: str, rows: Sequence[ChartRow]) -> str:
    real, total = sum(row["real"] for row in rows), len(rows)
    if total == 1:
        return f"{group}: the one difference is {'real' if real else 'not shown to be real'}"
    return f"{group}: these test rows show {real} of {total} differences to be real"
