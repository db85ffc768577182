"""What a deployed model can take: the highest rate of requests that meets an objective.

A real server is started, loaded at rates that are searched for, and ended. What it answered under
load is judged like any prediction.

- `artifact`: the folder that the server loads
- `servers`: servers that speak the OpenAI API, started and ended
- `processes`, `supervisor`: no process outlives the stage
- `payloads`: what is sent, so that the server reads the evaluation's own tokens
- `load`, `generator`: open-loop load by guidellm
- `search`: the highest rate that meets the objective
- `quality`, `measures`: what came back, as metrics
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tunebench import models, results
from tunebench.config.inference import Serving
from tunebench.config.options import Options
from tunebench.errors import ServingError
from tunebench.evaluation import Answering
from tunebench.models import outcomes
from tunebench.prompts import DoesNotFit, Prompt, encoding
from tunebench.serving import artifact, measures, quality, servers
from tunebench.serving.load import Generator, Load, generator
from tunebench.serving.payloads import Sent, payloads
from tunebench.serving.search import Found, highest_rate, requests_at
from tunebench.timing.clock import warm_up

log = logging.getLogger(__name__)

WARM_UP = 5  # requests of one window


@dataclass(frozen=True)
class Outcome:
    """Metrics, and what the server wrote for each prompt at the rate that they tell of."""

    metrics: results.Metrics
    predictions: list[dict[str, Any]]


def load_test(
    base: models.Base,
    method: models.Method,
    how: Answering,
    settings: Serving,
    prompts: Sequence[Prompt] | DoesNotFit,
    *,
    trained: Path | None,
    evaluated: Mapping[str, Any],
    folder: Path,
) -> Outcome:
    """Put a method behind the server that `settings` names, and search what it can stand.

    Args:
        trained: what the method's training left; None for a prompting method.
        evaluated: the answer to each prompt's id, as evaluated.
        folder: for what the server loads, and for what it and guidellm print, which stays there.

    Raises:
        ServingError: if the server cannot be started, or ends under load.
    """
    if isinstance(prompts, DoesNotFit):
        return Outcome(prompts.metrics(), [])
    if failed := outcomes.failure(trained):
        return Outcome(failed, [])
    how = how.limited(prompts)
    tokenizer = models.load_tokenizer(base)
    server = settings.servers[settings.server]
    folder = folder.resolve()
    with artifact.made(
        base,
        method,
        server,
        how.generation,
        trained=trained,
        tail=prompts[0].tail,
        folder=folder / "model",
    ) as served:
        if served is None:
            return Outcome(outcomes.not_servable(settings.server), [])
        server_log = folder / "server.log"
        with servers.running(settings.server, server, served, server_log) as endpoint:
            sent = payloads(endpoint, tokenizer, prompts, timeout_s=settings.timeout_s)
            found = _search(endpoint, sent, how, settings, folder / "guidellm.log")
    answered = [request for load in (found.nearest, *found.tried) for request in load.requests]
    around = encoding.Around.of(tokenizer, prompts[0])
    judged, predictions = quality.judge(answered, sent.prompts, how, around, evaluated)
    told: results.Metrics = {
        "server": settings.server,
        "artifact": served.kind,
        "prefix_cache": server.prefix_cache,
        "prompts_sent_as": "text" if sent.as_text else "token ids",
        "prompts_not_sent": len(prompts) - len(sent.prompts),
    }
    if endpoint.ready_s is not None:
        told["ready_s"] = results.rounded(endpoint.ready_s, 4)
    return Outcome(told | measures.of_search(found, settings.objective) | judged, predictions)


def _search(
    endpoint: servers.Endpoint,
    sent: Sent,
    how: Answering,
    settings: Serving,
    log_file: Path,
) -> Found:
    seeds = count()
    body = _body(how.generation)
    with generator(
        endpoint, sent.payloads, body=body, timeout_s=settings.timeout_s, log=log_file
    ) as source:

        def measure(rate: float) -> Load:
            load = source.load(
                rate, requests_at(rate, settings), seed=next(seeds), objective=settings.objective
            )
            endpoint.check()
            log.info(measures.line(load, settings.objective))
            return load

        return highest_rate(measure, 1 / _warm_up(source, endpoint), settings)


def _body(options: Options) -> dict[str, Any]:
    """GenerationConfig fields in the OpenAI API's words, as far as it has them.

    A text ends where the model ends it, `max_tokens` at the latest.
    """
    body = {"max_tokens": options["max_new_tokens"]}
    if not options.get("do_sample"):
        return body | {"temperature": 0}
    return body | {key: options[key] for key in ("temperature", "top_p") if key in options}


def _warm_up(source: Generator, endpoint: servers.Endpoint) -> float:
    """Seconds that a request takes where it is the only one, once they are steady.

    Raises:
        ServingError: if the server answers none.
    """
    seeds = count()

    def window() -> list[float]:
        load = source.load(None, WARM_UP, seed=next(seeds))
        endpoint.check()
        if not load.successful:
            errors = Counter(request.error for request in load.requests)
            said = errors.most_common(1)[0][0] if errors else "it took none"
            raise ServingError(f"{endpoint.place}: answers no request: {said}")
        return [each.seconds("latency") - each.seconds("client_lag") for each in load.successful]

    _, _, seconds = warm_up(window)
    return seconds
