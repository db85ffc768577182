"""Throughput of one loaded model by batch size."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice

from tunebench import metrics, results
from tunebench.config.inference import Timing
from tunebench.metrics import statistics
from tunebench.models import memory
from tunebench.prompts import Prompt
from tunebench.timing.clock import timed
from tunebench.timing.requests import Answerer
from tunebench.timing.writing import RequestTimes

# batch sizes grow by this factor until throughput increases by less than this fraction
GROWTH = 4
MIN_INCREASE = 0.05


def throughput(
    model: Answerer,
    prompts: Sequence[Prompt],
    settings: Timing,
    singles: Sequence[Sequence[RequestTimes]],
    phase: memory.Phase,
) -> results.Metrics:
    """Requests and tokens per second by batch size, and the size at which memory ran out.

    Requests per second are the geometric mean of the rounds, with the 95% interval that these
    spread over. Batch size 1 is taken from the single requests; peak memory is measured for the
    other sizes.

    Args:
        singles: the single requests, by round.
        phase: since before the model was loaded.
    """
    figures: results.Metrics = {}
    highest = 0.0
    for size in settings.batch_sizes or _growing():
        if size == 1:
            rounds = [_of_singles(requests) for requests in singles]
        else:
            memory_used = phase.renewed()
            measured = memory.unless_exhausted(partial(_rounds, model, prompts, size, settings))
            if measured is None:
                return figures | {"memory_ended_at_batch_size": size}
            rounds = measured
            peaks = memory_used.metrics().items()
            figures |= {f"{name}_batch_{size}": value for name, value in peaks}
        rates = [requests / seconds for requests, _, seconds in rounds]
        rate, interval = statistics.of_geometric_mean(rates)
        name = f"requests_per_s_batch_{size}"
        figures[name] = rate
        if interval:
            figures |= dict(zip(metrics.interval(name), interval, strict=True))
        if model.writes_tokens:
            written = [tokens / seconds for _, tokens, seconds in rounds]
            figures[f"tokens_per_s_batch_{size}"], _ = statistics.of_geometric_mean(written)
        if settings.batch_sizes is None and rate < (1 + MIN_INCREASE) * highest:
            break
        highest = max(highest, rate)
    return figures


Round = tuple[int, int, float]  # requests, tokens that were written, seconds


def _of_singles(requests: Sequence[RequestTimes]) -> Round:
    tokens = sum(request.answer.tokens for request in requests)
    return len(requests), tokens, sum(request.latency for request in requests)


def _growing() -> Iterator[int]:
    size = 1
    while True:
        yield size
        size *= GROWTH


def _rounds(model: Answerer, prompts: Sequence[Prompt], size: int, settings: Timing) -> list[Round]:
    """Rounds of full batches, with at least as many prompts as single requests."""
    single_requests = min(settings.prompts, len(prompts))
    count = -(-single_requests // size)
    requests = list(islice(cycle(prompts), count * size))
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    model.batch(batches[0])  # warm-up: the first batch of a size is slower
    rounds = []
    for number in range(settings.repeats):
        memory.release()
        order = random.Random(number).sample(batches, count)
        answered = [timed(partial(model.batch, batch)) for batch in order]
        tokens = sum(answer.tokens for _, answers in answered for answer in answers)
        rounds.append((len(requests), tokens, sum(seconds for seconds, _ in answered)))
    return rounds
