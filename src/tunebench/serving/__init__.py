"""Load tests: the highest request rate at which a served model meets an objective.

A real server is started, put under load at one rate after another, and stopped. Its answers under
load are judged like any prediction.

- `artifact`: the folder that the server loads
- `servers`: servers that speak the OpenAI API, started and stopped
- `processes`, `supervisor`: no process outlives the stage
- `clients`: requests whose key goes nowhere else
- `asking`: what it is asked for: a text, or a label by one constrained pass
- `payloads`: request bodies that the server tokenizes as the evaluation did
- `load`, `generator`: open-loop load by guidellm
- `lateness`: whether a rate holds, with confidence, from its requests
- `search`: the highest rate that holds
- `quality`, `measures`: metrics of the answers and of the load
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
from tunebench.errors import ServingError
from tunebench.evaluation import Answering
from tunebench.models import outcomes
from tunebench.prompts import DoesNotFit, Prompt
from tunebench.serving import artifact, asking, measures, quality, servers
from tunebench.serving.load import Generator, Load, guidellm
from tunebench.serving.payloads import Sent, payloads
from tunebench.serving.search import SearchResult, highest_rate, plan_of
from tunebench.timing.clock import warm_up

log = logging.getLogger(__name__)

WARM_UP = 5  # requests of one window


@dataclass(frozen=True)
class Outcome:
    """Metrics, and the server's answer to each prompt at the rate that they describe."""

    metrics: results.Metrics
    predictions: list[dict[str, Any]]


def load_test(
    base: models.Base,
    method: models.Method,
    answering: Answering,
    settings: Serving,
    prompts: Sequence[Prompt] | DoesNotFit,
    *,
    trained: Path | None,
    evaluated: Mapping[str, Any],
    folder: Path,
) -> Outcome:
    """Serve a method's model with the server that `settings` names, and search its highest rate.

    Args:
        trained: the folder that `training.train` wrote; None for a prompting method.
        evaluated: the evaluation's answer by prompt id.
        folder: holds the model for the server while it runs, and the logs of server and guidellm.

    Raises:
        ServingError: if the server does not start, or exits under load.
    """
    if isinstance(prompts, DoesNotFit):
        return Outcome(prompts.metrics(), [])
    if failed := outcomes.failure(trained):
        return Outcome(failed, [])
    tokenizer = models.load_tokenizer(base)
    server = settings.servers[settings.server]
    asked = asking.asking(tokenizer, prompts, answering, server)
    folder = folder.resolve()
    with artifact.prepared(
        base,
        method,
        server,
        asked.generation,
        trained=trained,
        tail=prompts[0].tail,
        folder=folder / "model",
    ) as served:
        if served is None:
            return Outcome(outcomes.not_servable(settings.server), [])
        server_log = folder / "server.log"
        with servers.running(settings.server, server, served, server_log) as endpoint:
            sent = payloads(
                endpoint, tokenizer, prompts, asked.appended, timeout_s=settings.timeout_s
            )
            search, single = _search(endpoint, sent, asked.body, settings, folder / "guidellm.log")
    answered = [request for load in (search.nearest, *search.loads) for request in load.requests]
    judged, predictions = quality.judge(answered, sent.prompts, answering, asked, evaluated)
    metrics: results.Metrics = {
        "server": settings.server,
        "artifact": served.kind,
        "prefix_cache": server.prefix_cache,
        "answered_by": asked.answered_by,
        "prompts_sent_as": "text" if sent.as_text else "token ids",
        "prompts_not_sent": len(prompts) - len(sent.prompts),
    }
    if endpoint.ready_s is not None:
        metrics["ready_s"] = results.rounded(endpoint.ready_s, 4)
    metrics |= results.rounded_all(single) | measures.of_search(search, settings.objective)
    return Outcome(metrics | judged, predictions)


def _search(
    endpoint: servers.Endpoint,
    sent: Sent,
    body: Mapping[str, Any],
    settings: Serving,
    log_file: Path,
) -> tuple[SearchResult, dict[str, float]]:
    """The loads, and the seconds of requests sent one at a time (`measures.of_single`)."""
    seeds = count()
    with guidellm(
        endpoint, sent.payloads, body=body, timeout_s=settings.timeout_s, log=log_file
    ) as source:

        def measure(rate: float) -> Load:
            load = source.decide(rate, plan_of(rate, settings), seed=next(seeds))
            endpoint.check()
            log.info(measures.line(load, settings.objective))
            return load

        latency_s, warm = _warm_up(source, endpoint)
        return highest_rate(measure, 1 / latency_s, settings), measures.of_single(warm)


def _warm_up(source: Generator, endpoint: servers.Endpoint) -> tuple[float, list[Load]]:
    """The steady latency (s) of requests sent one at a time, and the loads that were steady.

    Raises:
        ServingError: if the server answers none.
    """
    loads: list[Load] = []

    def window() -> list[float]:
        load = source.load(None, WARM_UP, seed=len(loads))
        endpoint.check()
        if not load.successful:
            errors = Counter(request.error for request in load.requests)
            error = errors.most_common(1)[0][0] if errors else "it took none"
            raise ServingError(f"{endpoint.place}: answers no request: {error}")
        loads.append(load)
        return [sent.seconds("latency") - sent.seconds("client_lag") for sent in load.successful]

    _, _, seconds = warm_up(window)
    return seconds, loads[-2:]
