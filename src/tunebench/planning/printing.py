"""The plan as aligned text, or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tunebench.countdown import about
from tunebench.doctor.findings import size
from tunebench.planning import plan as plans
from tunebench.planning.plan import Plan, Prediction

WIDTH = 12
LISTED = 5  # stages that do not fit, or names that are unknown
# the twins of the two branches, by their scripts
KINDS = {
    "train": "training", "evaluate": "evaluation", "time_inference": "timing",
    "load_test": "load test",
}  # fmt: skip


def lines(plan: Plan) -> Iterator[str]:
    """Plain text: a line for each question, and what cannot fit or is not known below."""
    total = len(plan.stages) - 1  # `check` always runs
    if not plan.predictions:
        yield _line("stages", f"all {total} are up to date: nothing to run")
        yield from _past(plan)
        return
    yield _line("stages", f"{len(plan.predictions)} of {total} to run: {_kinds(plan)}")
    yield _line("tokens", _tokens(plan.predictions))
    yield _line("download", _downloads(plan))
    yield _line("disk", f"about {size(_written(plan))} in data/ and DVC's cache")
    yield from _memory(plan)
    yield _line("time", _time(plan))
    for line in _misfits(plan):
        yield line
    for line in plan.unknown:
        yield _line("unknown", line)
    yield from _past(plan)


def _line(name: str, text: str) -> str:
    return f"{name:<{WIDTH}}{text}"


def _kinds(plan: Plan) -> str:
    counted = Counter(one.stage.script for one in plan.predictions)
    return ", ".join(f"{count} {kind}" for kind, count in counted.items())


def _tokens(predictions: Sequence[Prediction]) -> str:
    parts = [
        (sum(one.trained_tokens for one in predictions), "to train on"),
        (sum(one.read_tokens for one in predictions), "to read"),
        (sum(one.written_tokens for one in predictions), "to write"),
    ]
    named = [f"{_count(number)} {what}" for number, what in parts if number]
    return ", ".join(named) or "none"


def _count(number: float) -> str:
    for unit, factor in (("billion", 1e9), ("million", 1e6)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{float(f'{number:.2g}'):,.0f}"


def _downloads(plan: Plan) -> str:
    if not plan.downloads:
        return "nothing: models and rows are here, or are made here"
    known = [each.bytes for each in plan.downloads if each.bytes is not None]
    names = ", ".join(each.repository for each in plan.downloads[:LISTED])
    rest = len(plan.downloads) - len(known)
    parts = [size(sum(known))] * bool(known)
    parts += [f"{rest} of unknown size"] * bool(rest)
    return f"{' and '.join(parts)}: {names}"


def _written(plan: Plan) -> float:
    return sum(one.bytes for one in plan.predictions)


def _memory(plan: Plan) -> Iterator[str]:
    """The largest peak of each kind of work, and what there is."""
    largest: dict[str, Prediction] = {}
    for one in plan.predictions:
        name = KINDS.get(one.stage.script)
        if (
            name
            and one.peak_bytes
            and one.peak_bytes > (largest[name].peak_bytes if name in largest else 0)
        ):
            largest[name] = one
    if not largest:
        return
    peaks = ", ".join(f"{name} {size(one.peak_bytes)}" for name, one in largest.items())
    there = plan.device.memory_bytes
    of = f"; this device has {size(there)} ({plan.device.name})" if there else ""
    yield _line("memory", f"at the peak: {peaks}{of}")
    top = max(largest.values(), key=lambda one: one.peak_bytes)
    yield _line("", f"the largest: {top.stage.name}")


def _time(plan: Plan) -> str:
    by_kind: dict[str, float] = {}
    for one in plan.predictions:
        name = KINDS.get(one.stage.script, "the rest")
        by_kind[name] = by_kind.get(name, 0.0) + one.seconds
    parts = ", ".join(f"{name} {about(seconds)}" for name, seconds in by_kind.items())
    price = plan.params.hardware.usd_per_hour
    cost = f"; ${plan.usd:.2f} at ${price:g} an hour" if price else ""
    rough = "" if plan.device.measured else " (rough: --probe measures this GPU)"
    return f"about {about(plan.seconds)}{cost}{rough}: {parts}"


def _misfits(plan: Plan) -> Iterator[str]:
    """What cannot fit, and the smallest change with which it would; one line for each change."""
    by_remedy: dict[str, list[Prediction]] = {}
    for one in plan.predictions:
        if one.remedy:
            by_remedy.setdefault(one.remedy, []).append(one)
    for remedy, group in by_remedy.items():
        names = ", ".join(one.stage.name for one in group[:LISTED])
        more = f" and {len(group) - LISTED} more" if len(group) > LISTED else ""
        need = size(max(one.peak_bytes for one in group))
        yield _line("too large", f"{names}{more}: {need} at the peak")
        yield _line("", f"smallest change: {remedy}")


def _past(plan: Plan) -> Iterator[str]:
    """How far earlier predictions were off."""
    errors = past_errors(plan)
    if not errors:
        return
    text = (
        f"{errors['stages']} stages were predicted to take {about(errors['predicted_s'])}, and"
        f" took {about(errors['happened_s'])} ({errors['time_error']:+.0%})"
    )
    if "memory_error" in errors:
        text += f"; peaks were off by {errors['memory_error']:.0%} ({errors['memory_worst']:.0%})"
        text += " at the median (at worst)"
    yield _line("past error", text)


def past_errors(plan: Plan) -> dict[str, Any]:
    """Sums of predicted and measured seconds, and relative errors; empty before any run."""
    compared = plans.compared(plan.stages)
    if not compared:
        return {}
    predicted = sum(each["seconds"] for _, each, _ in compared)
    happened = sum(each["seconds"] for _, _, each in compared)
    peaks = [
        abs(each["peak_bytes"] / there["peak_bytes"] - 1)
        for _, each, there in compared
        if each["peak_bytes"] and there["peak_bytes"]
    ]
    memory = {"memory_error": median(peaks), "memory_worst": max(peaks)} if peaks else {}
    return {
        "stages": len(compared),
        "predicted_s": predicted,
        "happened_s": happened,
        "time_error": predicted / happened - 1,
        **memory,
    }


def as_json(plan: Plan) -> str:
    """All numbers of the plan: seconds, bytes, tokens, dollars, by stage."""
    content = {
        "study": plan.params.study,
        "stages": len(plan.stages),
        "to_run": len(plan.predictions),
        "seconds": round(plan.seconds, 1),
        "usd": round(plan.usd, 4),
        "bytes_written": round(_written(plan)),
        "downloads": [vars(each) for each in plan.downloads],
        "device": vars(plan.device),
        "unknown": plan.unknown,
        "past_error": past_errors(plan),
        "predictions": [_entry(one) for one in plan.predictions],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _entry(one: Prediction) -> dict[str, Any]:
    values = {name: value for name, value in vars(one).items() if name != "stage"}
    rounded = {name: round(v, 1) if isinstance(v, float) else v for name, v in values.items()}
    return {"stage": one.stage.name, "kind": one.stage.kind, **rounded}
