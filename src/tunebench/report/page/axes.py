"""What a chart can be drawn over: a measure's title, unit, scale and which end is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tunebench import metrics

LOG_FROM = 20  # a measure whose largest value is so many times its smallest is drawn by its digits


@dataclass(frozen=True)
class Axis:
    """A measure of a run; `factor` makes its value one of the unit in the title."""

    name: str
    title: str
    factor: float = 1.0
    more_is_better: bool = False
    priced: bool = False  # shown only where the machine, or a label, has a price


METRICS = {"macro_f1": "macro-F1", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L",
           "rougeLsum": "ROUGE-Lsum"}  # fmt: skip
QUALITY = tuple(
    Axis(name, f"{METRICS.get(name, name)}, %", 100, more_is_better=True)
    for name in metrics.QUALITY
)
AXES = (
    *QUALITY,
    Axis("forgetting", "forgetting, nats a token"),
    Axis("usd_to_train", "training, $", priced=True),
    Axis("machine_s", "training, seconds of the machine"),
    Axis("usd_for_labels", "labels, $", priced=True),
    Axis("train_rows", "labelled rows"),
    Axis("usd_per_1k_requests", "serving, $ per 1,000 requests", priced=True),
    Axis("s_per_1k_requests", "serving, seconds of the machine per 1,000 requests"),
    Axis("latency_p50_s", "latency p50, ms", 1000),
    Axis("latency_p90_s", "latency p90, ms", 1000),
    Axis("latency_p99_s", "latency p99, ms", 1000),
    Axis("inference_peak_memory_bytes", "peak memory when answering, MB", 1e-6),
    Axis("train_peak_memory_bytes", "peak memory in training, MB", 1e-6),
    Axis("adapter_bytes", "adapter, MB", 1e-6),
)
BY_NAME = {axis.name: axis for axis in AXES}


def scale(values: Iterable[float]) -> dict[str, Any]:
    """A Vega-Lite scale for these values, and its ticks; logarithmic where they span decades.

    Zero has a place on a logarithmic axis too (`symlog`), left of the smallest value.
    """
    known = sorted(set(values))
    positive = [value for value in known if value > 0]
    if not positive or known[0] < 0 or positive[-1] < LOG_FROM * positive[0]:
        return {"scale": {"type": "linear", "zero": False, "nice": True}, "ticks": None}
    ticks = decades(positive)
    if known[0] > 0:
        spread = {"type": "log", "domain": [positive[0] / 1.2, positive[-1] * 1.2], "nice": False}
        return {"scale": spread, "ticks": ticks}
    spread = {"type": "symlog", "constant": positive[0], "domain": [0, positive[-1] * 1.2]}
    return {"scale": spread | {"nice": False}, "ticks": [0, *ticks]}


def decades(values: Iterable[float]) -> list[float]:
    """Round numbers among positive values: powers of ten, and steps between if these are few."""
    known = sorted(values)
    least, most = known[0], known[-1]
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    steps = {2: (1, 2, 3, 5, 7), 3: (1, 2, 5), 4: (1, 3)}.get(len(powers), (1,))
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if least / 1.2 <= tick <= most * 1.2]
