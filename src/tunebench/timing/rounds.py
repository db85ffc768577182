"""How one loaded model is measured: warm, one request at a time in rounds, then in batches."""

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
from tunebench.timing.requests import Single, Subject

PERCENTS = (50, 90, 99)
# batch sizes grow by this factor, until throughput rises by less than this share
GROWTH = 4
LEAST_RISE = 0.05


@dataclass(frozen=True)
class Measured:
    """Figures of one model, and its answer to each prompt that was asked by itself."""

    metrics: results.Metrics
    answers: list[Hashable]


def measure(subject: Subject, prompts: Sequence[Prompt], settings: Timing) -> Measured:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory.

    Args:
        prompts: in the order in which they are drawn; the first `settings.prompts` are asked one by
            one, larger batches take more of them, and begin again where these end.
    """
    asked = prompts[: settings.prompts]

    def window() -> list[float]:
        return [subject.single(asked[number % len(asked)]).latency for number in range(WINDOW)]

    count, steady, _ = warm_up(window, settings.warmup)
    memory.reset_peak()
    rounds = list(_rounds(subject, asked, settings.repeats))
    peak = memory.peak_bytes()
    latencies = [[single.latency for single in singles] for singles in rounds]
    first = [[single.time_to_first_token for single in singles] for singles in rounds]
    each = [
        [gap for single in singles if (gap := single.time_per_output_token) is not None]
        for singles in rounds
    ]
    found = {
        **_percentiles("latency", latencies),
        **_percentiles("time_to_first_token", first),
        **_percentiles("time_per_output_token", each),
        **_throughput(subject, prompts, settings, latencies),
    }
    return Measured(
        {
            name: results.rounded(value, 4) if isinstance(value, float) else value
            for name, value in found.items()
        }
        | {"peak_memory_bytes": peak, "warmup_requests": count, "warmup_steady": steady},
        [single.answer for single in rounds[0]],
    )


def _rounds(subject: Subject, prompts: Sequence[Prompt], repeats: int) -> Iterator[list[Single]]:
    """Each prompt by itself, in each round in another order; in the prompts' order here."""
    with bar(total=repeats * len(prompts), unit="request") as progress:
        for number in range(repeats):
            memory.release()
            singles: dict[int, Single] = {}
            for index in random.Random(number).sample(range(len(prompts)), len(prompts)):
                singles[index] = subject.single(prompts[index])
                progress.update(1)
            yield [singles[index] for index in range(len(prompts))]


def _throughput(
    subject: Subject,
    prompts: Sequence[Prompt],
    settings: Timing,
    latencies: Sequence[Sequence[float]],
) -> dict[str, float]:
    """Requests and tokens a second by batch size, the median of the rounds; where memory ended.

    Size 1 is not measured again; the memory of the others is told by size.
    """
    found: dict[str, float] = {}
    best = 0.0
    for size in settings.batch_sizes or _growing():
        if size == 1:
            rate = 1 / median(sum(each) / len(each) for each in latencies)
        else:
            memory.reset_peak()
            measured = memory.unless_exhausted(partial(_rate, subject, prompts, size, settings))
            if measured is None:
                return found | {"memory_ended_at_batch_size": size}
            rate = measured
            found[f"peak_memory_bytes_batch_{size}"] = memory.peak_bytes()
        found[f"requests_per_s_batch_{size}"] = rate
        if subject.score is None:
            found[f"tokens_per_s_batch_{size}"] = rate * settings.new_tokens
        if settings.batch_sizes is None and rate < (1 + LEAST_RISE) * best:
            break
        best = max(best, rate)
    return found


def _growing() -> Iterator[int]:
    size = 1
    while True:
        yield size
        size *= GROWTH


def _rate(subject: Subject, prompts: Sequence[Prompt], size: int, settings: Timing) -> float:
    """Requests a second in full batches, as many as hold the prompts that are asked one by one."""
    asked = min(settings.prompts, len(prompts))
    count = -(-asked // size)
    drawn = list(islice(cycle(prompts), count * size))
    batches = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    subject.batch(batches[0])  # the first of its size is slower, and not counted
    seconds = []
    for number in range(settings.repeats):
        memory.release()
        order = random.Random(number).sample(batches, count)
        seconds.append(sum(timed(partial(subject.batch, batch))[0] for batch in order))
    return len(drawn) / median(seconds)


def _percentiles(name: str, rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Percentiles over all requests, and the 95% interval of the median."""
    import numpy as np

    if not any(rounds):  # one token has none after it
        return {}
    found = {f"{name}_p{percent}_s": float(np.percentile(rounds, percent)) for percent in PERCENTS}
    ends = metrics.interval(f"{name}_p50_s")
    return found | dict(zip(ends, statistics.of_median(rounds), strict=True))
