"""Timing of one loaded model: warm-up, single requests in rounds, then batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tunebench import metrics, results
from tunebench.config.inference import Timing
from tunebench.metrics import statistics
from tunebench.models import memory
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.timing.batches import throughput
from tunebench.timing.clock import WINDOW, is_steady, warm_up
from tunebench.timing.requests import Answerer
from tunebench.timing.writing import RequestTimes

TAILS = (90, 99)  # percentiles beside the median, in per cent


@dataclass(frozen=True)
class Measurement:
    """Metrics of one model, and its answer to each prompt of the single requests."""

    metrics: results.Metrics
    answers: list[str]


def measure(
    model: Answerer, prompts: Sequence[Prompt], settings: Timing, phase: memory.Phase
) -> Measurement:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory.

    Args:
        prompts: in random order. The first `settings.prompts` are sent one by one; larger batches
            take more of them, and start over at the end.
        phase: since before the model was loaded; memory is measured above its baseline.
    """
    chosen = prompts[: settings.prompts]

    def window() -> list[float]:
        return [model.single(chosen[number % len(chosen)]).latency for number in range(WINDOW)]

    used = phase.renewed()
    count, steady, _ = warm_up(window, settings.warmup)
    rounds = list(_rounds(model, chosen, settings.repeats))
    peak = used.metrics()
    latencies = [[single.latency for single in singles] for singles in rounds]
    if len(rounds) > 1:  # the requests that count say more than those before
        half = len(rounds) // 2
        steady = is_steady(latencies[:half], latencies[-half:])
    figures: results.Metrics = {
        **percentiles("latency", latencies),
        **percentiles("time_to_first_token", _known(rounds, "time_to_first_token")),
        **percentiles("time_per_output_token", _known(rounds, "time_per_output_token")),
        **_tokens(model, rounds),
        **throughput(model, prompts, settings, rounds, phase),
    }
    return Measurement(
        {
            name: results.rounded(value, 4) if isinstance(value, float) else value
            for name, value in figures.items()
        }
        | peak
        | {"warmup_requests": count, "warmup_steady": steady},
        [single.answer.text for single in rounds[0]],
    )


def _rounds(
    model: Answerer, prompts: Sequence[Prompt], repeats: int
) -> Iterator[list[RequestTimes]]:
    """Every prompt as a single request, shuffled in each round; yielded in the prompts' order."""
    with bar(total=repeats * len(prompts), unit="request") as progress:
        for number in range(repeats):
            memory.release()
            singles: dict[int, RequestTimes] = {}
            for index in random.Random(number).sample(range(len(prompts)), len(prompts)):
                singles[index] = model.single(prompts[index])
                progress.update(1)
            yield [singles[index] for index in range(len(prompts))]


def _known(rounds: Sequence[Sequence[RequestTimes]], what: str) -> list[list[float]]:
    """Seconds of the requests that have them, by round; none if a round has none."""
    known = [
        [seconds for single in singles if (seconds := getattr(single, what)) is not None]
        for singles in rounds
    ]
    return known if all(known) else []


def _tokens(model: Answerer, rounds: Sequence[Sequence[RequestTimes]]) -> dict[str, float]:
    """The mean number of tokens of a text, its end included."""
    if not model.writes_tokens:
        return {}
    return {"output_tokens_mean": fmean(one.answer.tokens for singles in rounds for one in singles)}


def percentiles(name: str, rounds: Sequence[Sequence[float]]) -> results.Metrics:
    """The median and each percentile that the prompts carry, with their 95% intervals.

    Each is a round's, of which the middle one is given: rounds repeat the same prompts, so more of
    them make no larger sample. Where there are too few prompts for a percentile, `…_p99_s_needs`
    is how many it takes.
    """
    import numpy as np

    if not rounds:
        return {}
    found: results.Metrics = {}
    for percent in (50, *TAILS):
        metric, fraction = f"{name}_p{percent}_s", percent / 100
        intervals = [statistics.of_quantile(seconds, fraction) for seconds in rounds]
        carried = [interval for interval in intervals if interval is not None]
        if len(carried) == len(rounds):
            ends = (median(ends) for ends in zip(*carried, strict=True))
            found |= dict(zip(metrics.interval(metric), ends, strict=True))
        elif percent in TAILS:
            found[f"{metric}_needs"] = statistics.needed_for_quantile(fraction)
            continue
        found[metric] = float(median(np.percentile(seconds, percent) for seconds in rounds))
    return found
