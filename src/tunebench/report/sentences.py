"""What the results say, in words; where they do not carry a sentence, it says that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebench import metrics
from tunebench.report import power
from tunebench.report.digits import cell
from tunebench.report.recommendation import Candidate, Recommendation
from tunebench.report.savings import savings
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

NAMED = 3  # of more failed runs, only so many are named
LONGEST_LABEL = 40  # characters


def named(record: Record, *, model: bool = False) -> str:
    """`qlora on 400 rows`, of a prompting run its method alone."""
    rows = "" if record.train_size == NO_ROWS else f" on {counted(record.train_rows, 'row')}"
    whose = f"{record.model} with " if model and not record.beside_models else ""
    return f"{whose}{record.method}{rows}"


def counted(number: int, noun: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def best(found: Recommendation, *, model: bool = False) -> str:
    """The highest score with its interval, and whether the test rows tell it from all others."""
    record, others = found.best.record, len(found.candidates) - 1
    who = named(record, model=model)
    score = f"{record.headline} {_score(found.best)}"
    if record.seeds > 1:
        score += f", the mean over {record.seeds} seeds"
    if record.optimistic:
        score += " (optimistic: its epoch was chosen on the test rows)"
    if not others:
        return f"{who} is the only run with a score: {score}."
    if len(found.as_good) == 1:
        rest = "the other run" if others == 1 else f"all {others} others"
        return f"{who} is best: {score}; {_rows(found)} tell it from {rest}."
    return f"{who} has the highest score: {score}."


def cheapest(found: Recommendation, *, model: bool = False) -> Iterator[str]:
    """The cheapest run that cannot be told from the best; none where the best stands alone."""
    chosen, others = found.chosen, len(found.as_good) - 1
    if not others:
        return
    rest = f"{_rows(found)} cannot tell it from"
    other = found.as_good[1] if others == 1 else chosen
    spent = savings(found.best, chosen)
    costs = f": {spent}" if spent else ""
    if chosen is found.best and others == 1:
        yield sentence(f"{rest} {_behind(other, model=model)}, which is not {_in_vain(found)}")
    elif chosen is found.best:
        yield sentence(f"{rest} {others} others, none of which is {_in_vain(found)}")
    elif others == 1:
        yield sentence(f"{rest} {_behind(other, model=model)}, which is {_cheap(found)}{costs}")
    else:
        who = _behind(chosen, model=model)
        yield sentence(f"{rest} {others} others; of these {who} is {_cheap(found)}{costs}")


def _behind(candidate: Candidate, *, model: bool) -> str:
    """A run and how much lower it scored than the best."""
    assert candidate.comparison is not None
    low, high = (points(end) for end in candidate.comparison.interval)
    lower = points(candidate.comparison.difference)
    said = "as high a score" if lower == "0.0" else f"{lower} points lower"
    return f"{named(candidate.record, model=model)} ({said}, {low} to {high})"


def _cheap(found: Recommendation) -> str:
    """Why a run that is not the best is the one to use."""
    if found.chosen.machine_s is None:
        return "the one with the fewest rows"
    if found.chosen is not found.cheapest:
        return f"the best that is not shown to cost more for {found.requests:,} requests"
    of_few = "cheaper" if len(found.as_good) == 2 else "the cheapest"
    return f"{of_few} for {found.requests:,} requests"


def _in_vain(found: Recommendation) -> str:
    """What none of the others that are as good is, so that the best is the one to use."""
    if found.best.machine_s is None:
        return "trained on fewer rows"
    shown = "" if found.cheapest is found.best else "shown to be "
    return f"{shown}cheaper for {found.requests:,} requests"


def without_model(found: Recommendation) -> Iterator[str]:
    """Whether a language model is needed: how far behind the best baseline is."""
    baseline = next((each for each in found.candidates if each.record.beside_models), None)
    if baseline is None or len(found.candidates) == 1:
        return
    if baseline is found.best:
        yield "It needs no language model."
    elif baseline.as_good:
        who = _behind(baseline, model=False)
        yield f"Without a language model: {who}, which {_rows(found)} cannot tell from the best."
    else:
        yield f"Without a language model the best is {_behind(baseline, model=False)}."


def pairs(rows: Sequence[Row], found: Recommendation) -> str:
    """How many differences between methods are real, and the test rows that the others need."""
    left = [row["test_rows_needed"] for row in rows if row["distinguishable"] == "no"]
    these, real = _rows(found), len(rows) - len(left)
    if not rows:
        return "Only one method has a score, so there are no two methods to compare."
    if len(rows) == 1:
        if real:
            return sentence(f"{these} show that the two methods differ")
        needed = _needed(left).replace("the other", "that")
        return sentence(f"{these} do not show whether the two methods differ; {needed}")
    if not left:
        return sentence(f"{these} show all {len(rows)} differences between methods to be real")
    shown = f"of {len(rows)} differences between methods, {these} show {real or 'none'} to be real"
    return sentence(f"{shown}; {_needed(left)}")


def _needed(left: Sequence[int | str]) -> str:
    """What would tell the pairs apart that are left: test rows, seeds, or nothing sensible."""
    numbers = sorted(needed for needed in left if isinstance(needed, int))
    kinds = {
        f"about {_range(numbers)} test rows": len(numbers),
        f"{power.TOO_MANY} test rows, too many to be worth it": left.count(power.TOO_MANY),
        "more seeds rather than more test rows": left.count(power.MORE_SEEDS),
    }
    parts = [(need, number) for need, number in kinds.items() if number]
    if_real = ", if the difference is as large as it looks"
    if len(left) > 1:
        if_real = ", if they are as large as they look"
    if_real = if_real if numbers else ""
    if len(parts) == 1:
        others = "the other" if len(left) == 1 else f"the other {len(left)}"
        return f"{others} would take {parts[0][0]}{if_real}"
    listed = ", ".join(f"{number} would take {need}" for need, number in parts)
    return f"of the other {len(left)}, {listed}{if_real}"


def _range(numbers: Sequence[int]) -> str:
    ends = dict.fromkeys(f"{number:,}" for number in (*numbers[:1], *numbers[-1:]))
    return " to ".join(ends)


def frequent(found: Recommendation, label: str, share: float) -> Iterator[str]:
    """A warning where always giving the most frequent label may do as well."""
    record = found.best.record
    short = label if len(label) <= LONGEST_LABEL else f"{label[:LONGEST_LABEL]}…"
    if share == 1:
        rows = counted(found.test_rows, "test row")
        yield (
            f"All {rows} have the label {short!r}: the scores say nothing about telling it from"
            " others."
        )
    elif record.quality[metrics.interval(record.headline)[0]] <= share:
        yield (
            f"Always answering {short!r} would score {cell(share, record.headline)}, and it is not"
            " shown that any run does better."
        )


def failures(failed: Sequence[Record], *, all_of_them: bool) -> Iterator[str]:
    """The runs without a score, with the reasons."""
    if not failed:
        return
    who = [f"{named(record)} ({record.note})" for record in failed[:NAMED]]
    who += [f"{len(failed) - NAMED} more"] if len(failed) > NAMED else []
    verb = "has" if len(failed) == 1 else "have"
    number = "No run has a score" if all_of_them else f"{counted(len(failed), 'run')} {verb} none"
    yield f"{number}: {', '.join(who)}."


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def _rows(found: Recommendation) -> str:
    rows = found.test_rows
    return f"these {rows:,} test rows" if rows > 1 else "this one test row"


def _score(candidate: Candidate) -> str:
    record = candidate.record
    names = (record.headline, *metrics.interval(record.headline))
    value, low, high = (cell(record.quality[name], name) for name in names)
    return f"{value} ({low} to {high})"


def points(fraction: float) -> str:
    """A difference of two scores in points, without a zero's sign."""
    return f"{round(100 * fraction, 1) + 0.0:.1f}"
