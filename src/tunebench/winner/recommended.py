"""The run to use for a data set, with its score, its costs and why: as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tunebench import config, metrics, results
from tunebench.report import recommendation, savings
from tunebench.report.digits import cell
from tunebench.report.recommendation import Candidate, Recommendation
from tunebench.report.summary import NO_ROWS

HEADER = ("", "run", "score", "95%", "behind the best", "95%", "p", "rows", "cost")


def lines(dataset: str, *, requests: int) -> Iterator[str]:
    """The recommendation for a data set, for a terminal.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if results are missing.
    """
    found = recommendation.recommend(config.load(), dataset, requests=requests)
    record = found.chosen.record
    score = cell(found.chosen.score, record.headline)
    yield f"{found.chosen.run}: {record.headline} {score} ({_interval(found.chosen)})"
    yield ""
    yield from _costs(found)
    yield ""
    yield from _reasons(found)
    yield ""
    yield from _table(found)
    for failed in found.failed:
        size = "" if failed.train_size == NO_ROWS else f"/{failed.train_size}"
        yield f"  {failed.model}/{dataset}/{failed.method}{size}: {failed.note}"


def as_json(dataset: str, *, requests: int) -> dict[str, Any]:
    """The same for programs: the run, and each candidate with its comparison.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if results are missing.
    """
    found = recommendation.recommend(config.load(), dataset, requests=requests)
    return {
        "dataset": dataset,
        "run": str(found.chosen.run),
        "best_score": str(found.best.run),
        "requests": found.requests,
        "candidates": [_fields(candidate) for candidate in found.candidates],
        "failed": [
            {"model": record.model, "method": record.method, "train_size": record.train_size,
             "note": record.note}
            for record in found.failed
        ],
    }  # fmt: skip


def _fields(candidate: Candidate) -> dict[str, Any]:
    record, comparison = candidate.record, candidate.comparison
    compared = comparison and {
        "behind_by": results.rounded(comparison.difference, 4),
        "behind_by_low": results.rounded(comparison.interval[0], 4),
        "behind_by_high": results.rounded(comparison.interval[1], 4),
        "p_adjusted": results.rounded(candidate.p_adjusted, 3),
    }
    cost = {"machine_s": candidate.machine_s, "usd": candidate.usd}
    names = (record.headline, *metrics.interval(record.headline))
    return {
        "run": str(candidate.run),
        "seeds": len(candidate.runs),
        "train_rows": record.train_rows,
        "as_good_as_the_best": candidate.as_good,
        **{name: record.quality[name] for name in names},
        **(compared or {}),
        **results.rounded_all({name: value for name, value in cost.items() if value is not None}),
        **record.caveat,
    }


def _costs(found: Recommendation) -> Iterator[str]:
    """What the chosen run costs, a line for each kind of cost."""
    record = found.chosen.record
    costs = record.training | record.inference
    form = "merged_" if "merged_latency_p50_s" in costs else ""
    facts = {
        "training rows": f"{record.train_rows:,}",
        "training": cell(costs.get("train_s"), "train_s"),
        "training memory": cell(costs.get("train_peak_memory_bytes"), "train_peak_memory_bytes"),
        "adapter": cell(costs.get("adapter_bytes"), "adapter_bytes"),
        "one request": cell(costs.get(f"{form}latency_p50_s"), "latency_p50_s"),
        f"in all, {found.requests:,} requests": savings.cost(found.chosen),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            yield f"  {name.ljust(width)}  {value}"


def _reasons(found: Recommendation) -> Iterator[str]:
    chosen, best = found.chosen, found.best
    as_good = found.as_good
    timed = chosen.machine_s is not None
    cheapest = f"cheapest for {found.requests:,} requests" if timed else "one with the fewest rows"
    not_cheaper = f"is shown to be cheaper for {found.requests:,} requests"
    if chosen is best and len(as_good) == 1:
        yield "Why: it has the highest score, and the test rows tell it from all others."
    elif chosen is best and chosen is not found.cheapest:
        yield (
            f"Why: it has the highest score, and of the {len(as_good)} runs that the test rows do"
            f" not tell apart from it, none {not_cheaper}."
        )
    elif chosen is best:
        yield (
            f"Why: it has the highest score, and is the {cheapest} of the {len(as_good)} runs that"
            " the test rows do not tell apart from it."
        )
    else:
        assert chosen.comparison is not None
        low, high = (100 * end for end in chosen.comparison.interval)
        yield (
            f"Why: {best.run} has the highest score, but the test rows do not tell the two apart:"
            f" it may be anything from {-low:.1f} points worse to {high:.1f} better."
        )
        if chosen is found.cheapest:
            yield f"Of the {len(as_good)} runs as good as the best, this is the {cheapest}."
        else:
            yield f"Of the {len(as_good)} runs as good as the best, none {not_cheaper}."
    if any(candidate.record.optimistic for candidate in as_good):
        yield "Some scores are optimistic: their epoch was chosen on the test rows."
    if len(chosen.runs) > 1:
        yield f"The score is the mean over {len(chosen.runs)} seeds; the run is the first of them."


def _table(found: Recommendation) -> Iterator[str]:
    """Every candidate, the highest score first; `*` is the chosen one, `=` is as good."""
    rows = [HEADER, *(_row(candidate, found) for candidate in found.candidates)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    yield "* the one to use; = not told from the best (p, corrected by Holm, is 5% or more)"


def _row(candidate: Candidate, found: Recommendation) -> Sequence[str]:
    mark = "*" if candidate is found.chosen else "=" if candidate.as_good else ""
    score = cell(candidate.score, candidate.record.headline)
    behind, interval, p = "", "", ""
    if candidate.comparison is not None:
        low, high = candidate.comparison.interval
        behind = f"{100 * candidate.comparison.difference:.1f}"
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        p = f"{candidate.p_adjusted:.2g}"
    rows = f"{candidate.record.train_rows:,}"
    return (mark, str(candidate.run), score, _interval(candidate), behind, interval, p, rows,
            savings.cost(candidate))  # fmt: skip


def _interval(candidate: Candidate) -> str:
    record = candidate.record
    ends = (record.quality[end] for end in metrics.interval(record.headline))
    return " to ".join(cell(end, record.headline) for end in ends)
