"""Whether more labelled rows would help, in words."""

from __future__ import annotations

from tunebench.metrics import paired
from tunebench.report.digits import cell
from tunebench.report.learning import Curve, Step
from tunebench.report.sentences import counted, points, sentence

LEAST = 0.001  # a tenth of a point: a gain that rounds to nothing
HARDLY = 0.01  # a point: what no interval reaches is hardly worth labels


def would_help(curve: Curve | None, *, tuned: bool) -> str:
    """Whether more labelled rows would help: by the curve's law, or by its last step.

    Args:
        curve: of the best tuned method; None if none has a score.
        tuned: whether the study tunes a method at all.
    """
    if curve is None:
        why = "no tuned run has a score" if tuned else "no method was tuned"
        return sentence(f"whether labelled rows would help is not known: {why}")
    if curve.doubled is not None:
        return _doubled(curve)
    if curve.step is not None:
        return _step(curve, curve.step)
    rows = counted(int(curve.points[0].rows), "row")
    return (
        f"Whether more labelled rows would help is not known: {curve.method} has a score on {rows}"
        " only; add a size to grid.train_sizes."
    )


def _doubled(curve: Curve) -> str:
    doubled = curve.doubled
    assert doubled is not None
    twice = f"twice as many ({doubled.rows:,.0f})"
    law = (
        "a power law that three sizes determine and none tests"
        if curve.exact
        else f"a power law through {len(curve.points)} sizes"
    )
    prices = {"labels": doubled.more.usd_for_labels, "training": doubled.more.usd_to_train}
    spent = " and ".join(f"{cell(usd, 'usd')} of {name}" for name, usd in prices.items() if usd)
    price = f", for {spent}" if spent else ""
    low, high = points(doubled.low), points(doubled.high)
    if doubled.high < HARDLY:
        claim = f"would hardly help: {twice} would bring {curve.method} at most {high} points"
    elif doubled.low < LEAST:
        claim = (
            f"may help or not: {twice} would bring {curve.method} about"
            f" {points(doubled.gain)} points ({low} to {high}{price})"
        )
    else:
        claim = (
            f"would help: {twice} would bring {curve.method} about {points(doubled.gain)} points"
            f" ({low} to {high}{price})"
        )
    return f"More labelled rows {claim}, by {law}."


def _step(curve: Curve, step: Step) -> str:
    """Of two sizes, or of more that no power law fits."""
    apart, gained = step.p < paired.SIGNIFICANCE, step.gain > 0
    verb = "gained" if gained else "lost"
    change = f"{points(abs(step.gain))} points"
    if points(abs(step.gain)) == "0.0":
        verb, change = "stayed", "where it was"
    ends = sorted((step.low, step.high) if gained else (-step.low, -step.high))
    went = (
        f"from {step.from_rows:,} to {step.to_rows:,} rows {curve.method} {verb} {change}"
        f" ({points(ends[0])} to {points(ends[1])})"
    )
    if apart and gained:
        further = "how far that goes on takes a third size"
        if len(curve.points) > 2:
            further = "how far that goes on is not known, as no power law fits its sizes"
        return f"More labelled rows may help: {went}; {further}."
    if apart:
        return f"More labelled rows did not help: {went}."
    return f"That more labelled rows would help is not shown: {went}."
