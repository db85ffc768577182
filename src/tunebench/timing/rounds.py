"""Timing of one loaded model: warm-up, single requests in rounds, then batches."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from statistics import median

from tunebench import metrics, results
from tunebench.config.inference import Timing
from tunebench.metrics import statistics
from tunebench.models import memory
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.timing.clock import WINDOW, timed, warm_up
from tunebench.timing.requests import RequestTimes, TimedModel

PERCENTS = (50, 90, 99)
# batch sizes grow by this factor until throughput increases by less than this fraction
GROWTH = 4
MIN_INCREASE = 0.05


@dataclass(frozen=True)
class Measurement:
    """Metrics of one model, and its answer to each prompt of the single requests."""

    metrics: results.Metrics
    answers: list[Hashable]


def measure(model: TimedModel, prompts: Sequence[Prompt], settings: Timing) -> Measurement:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory.

    Args:
        prompts: in random order. The first `settings.prompts` are sent one by one; larger batches
            take more of them, and start over at the end.
    """
    chosen = prompts[: settings.prompts]

    def window() -> list[float]:
        return [model.single(chosen[number % len(chosen)]).latency for number in range(WINDOW)]

    count, steady, _ = warm_up(window, settings.warmup)
    memory.reset_peak()
    rounds = list(_rounds(model, chosen, settings.repeats))
    peak = memory.peak_bytes()
    latencies = [[single.latency for single in singles] for singles in rounds]
    to_first_token = [[single.time_to_first_token for single in singles] for singles in rounds]
    per_token = [
        [gap for single in singles if (gap := single.time_per_output_token) is not None]
        for singles in rounds
    ]
    figures = {
        **_percentiles("latency", latencies),
        **_percentiles("time_to_first_token", to_first_token),
        **_percentiles("time_per_output_token", per_token),
        **_throughput(model, prompts, settings, latencies),
    }
    return Measurement(
        {
            name: results.rounded(value, 4) if isinstance(value, float) else value
            for name, value in figures.items()
        }
        | {"peak_memory_bytes": peak, "warmup_requests": count, "warmup_steady": steady},
        [single.answer for single in rounds[0]],
    )


def _rounds(
    model: TimedModel, prompts: Sequence[Prompt], repeats: int
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


def _throughput(
    model: TimedModel,
    prompts: Sequence[Prompt],
    settings: Timing,
    latencies: Sequence[Sequence[float]],
) -> dict[str, float]:
    """Requests and tokens per second by batch size, and the size at which memory ran out.

    Each is the median of the rounds. Batch size 1 is taken from the single requests; peak memory is
    measured for the other sizes.
    """
    figures: dict[str, float] = {}
    highest = 0.0
    for size in settings.batch_sizes or _growing():
        if size == 1:
            rate = 1 / median(sum(seconds) / len(seconds) for seconds in latencies)
        else:
            memory.reset_peak()
            measured = memory.unless_exhausted(partial(_rate, model, prompts, size, settings))
            if measured is None:
                return figures | {"memory_ended_at_batch_size": size}
            rate = measured
            figures[f"peak_memory_bytes_batch_{size}"] = memory.peak_bytes()
        figures[f"requests_per_s_batch_{size}"] = rate
        if model.score is None:
            figures[f"tokens_per_s_batch_{size}"] = rate * settings.new_tokens
        if settings.batch_sizes is None and rate < (1 + MIN_INCREASE) * highest:
            break
        highest = max(highest, rate)
    return figures


def _growing() -> Iterator[int]:
    size = 1
    while True:
        yield size
        size *= GROWTH


def _rate(model: TimedModel, prompts: Sequence[Prompt], size: int, settings: Timing) -> float:
    """Requests per second in full batches, with at least as many prompts as single requests."""
    single_requests = min(settings.prompts, len(prompts))
    count = -(-single_requests // size)
    requests = list(islice(cycle(prompts), count * size))
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    model.batch(batches[0])  # warm-up: the first batch of a size is slower
    seconds = []
    for number in range(settings.repeats):
        memory.release()
        order = random.Random(number).sample(batches, count)
        seconds.append(sum(timed(partial(model.batch, batch))[0] for batch in order))
    return len(requests) / median(seconds)


def _percentiles(name: str, rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Percentiles over all requests, and the 95% interval of the median."""
    import numpy as np

    if not any(rounds):  # no time per output token, if there is one token only
        return {}
    percentiles = {
        f"{name}_p{percent}_s": float(np.percentile(rounds, percent)) for percent in PERCENTS
    }
    interval = metrics.interval(f"{name}_p50_s")
    return percentiles | dict(zip(interval, statistics.of_median(rounds), strict=True))
