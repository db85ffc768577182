"""guidellm in a process of its own: python -m tunebench.serving.generator REPLIES

guidellm's scheduler and clients run in child processes, which would outlive a killed stage, so this
process is started by `processes.supervised`. It reads one line of JSON per load from standard input
and writes one line per reply to the file descriptor REPLIES; `load.py` is at the other end.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from guidellm.backends.openai.http import OpenAIHTTPBackend
from guidellm.scheduler import (
    AsyncPoissonStrategy,
    NonDistributedEnvironment,
    Scheduler,
    SchedulerState,
    SchedulerUpdateAction,
    SchedulingStrategy,
    SynchronousStrategy,
)
from guidellm.scheduler.schemas import GenerativeConversationGraph, GenerativeConversationNode
from guidellm.schemas import GenerationRequest, GenerationResponse, RequestInfo
from guidellm.schemas.backends.openai_http import OpenAIHTTPBackendArgs
from guidellm.settings import settings

AHEAD_S = 0.05
ENDED = ("completed", "errored", "cancelled")


class PunctualPoisson(AsyncPoissonStrategy):  # type: ignore[misc]
    """Poisson arrivals whose requests are taken from the queue before they are due.

    guidellm's own strategy takes each one when it is due, and sends it milliseconds late.
    """

    async def next_request_time(self, worker_index: int) -> float:
        """When to take the next request from the queue."""
        return float(await super().next_request_time(worker_index)) - AHEAD_S

    async def resolve_dequeued_target_start(
        self, _worker: int, provisional_start: float, *_: Any
    ) -> float:
        """When to send it."""
        return provisional_start + AHEAD_S


class Backend(OpenAIHTTPBackend):  # type: ignore[misc]
    """guidellm's client of the OpenAI API, for prompts as text or as token ids."""

    async def _prepare_resolve_request(self, request: GenerationRequest, *rest: Any) -> Any:
        handler, arguments, options = await super()._prepare_resolve_request(request, *rest)
        options["json"]["prompt"] = json.loads(request.columns["text_column"][0])
        return handler, arguments, options


class ObjectiveMissed:
    """A constraint that ends a load early once too many requests missed its objective.

    Each limit is (`latency` or `time_to_first_token`, how many may miss it, seconds).
    """

    def __init__(self, limits: Sequence[tuple[str, int, float]]) -> None:
        self.limits = limits
        self.running: dict[str, RequestInfo] = {}
        self.late = [0] * len(limits)

    def __call__(self, _: SchedulerState, info: RequestInfo | None) -> SchedulerUpdateAction:
        """Called by guidellm when a request changes its status, and periodically."""
        if info is not None and info.status in ENDED:
            self.running.pop(info.request_id, None)
            for index, (what, _, seconds) in enumerate(self.limits):
                self.late[index] += info.error is not None or _elapsed(info, what) > seconds
        elif info is not None and info.status != "queued":
            self.running[info.request_id] = info
        now = time.time()
        stop = any(
            late + sum(_overdue(info, what, seconds, now) for info in self.running.values())
            > allowed
            for late, (what, allowed, seconds) in zip(self.late, self.limits, strict=True)
        )
        if not stop:
            return SchedulerUpdateAction()
        return SchedulerUpdateAction(request_queuing="stop", request_processing="stop_all")


def main(replies: int) -> None:
    """Reply to each line of standard input: first the server's description, then one per load."""
    _configure_guidellm()
    with os.fdopen(replies, "w") as out:
        server = json.loads(sys.stdin.readline())
        backend = Backend(_server_arguments(server))
        out.write(json.dumps({"ready": True}) + "\n")
        out.flush()
        for line in sys.stdin:
            load = json.loads(line)
            records = asyncio.run(_load(backend, server["prompts"], load))
            out.write(json.dumps({"requests": records}) + "\n")
            out.flush()


def _configure_guidellm() -> None:
    """Use one client process, forked from one that has imported guidellm already.

    With several, guidellm 0.8 draws each one's gaps from the same seed, so their arrivals together
    are no Poisson process. A spawned process would import guidellm for seconds at each load.
    """
    settings.max_worker_processes = 1
    settings.mp_context_type = "forkserver"
    settings.scheduler_start_delay_non_distributed = 0.3
    multiprocessing.set_forkserver_preload(["guidellm.scheduler", "guidellm.backends"])


def _server_arguments(server: dict[str, Any]) -> OpenAIHTTPBackendArgs:
    return OpenAIHTTPBackendArgs(
        target=server["url"],
        model=server["model"],
        request_format="/v1/completions",
        api_key=os.environ.get("TUNEBENCH_API_KEY"),
        timeout=server["timeout_s"],
        timeout_connect=server["timeout_s"],
        validate_backend=False,
        verify=True,
        http2=False,
        extras={"body": server["body"]},
    )


async def _load(backend: Any, prompts: Sequence[Any], load: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one load; a record of each request that was sent, in the order in which they ended."""
    strategy: SchedulingStrategy = (
        PunctualPoisson(rate=load["rate"], random_seed=load["seed"])
        if load["rate"]
        else SynchronousStrategy()
    )
    updates = Scheduler().run(
        requests=list(_requests(prompts, load["prompts"])),
        backend=backend,
        strategy=strategy,
        env=NonDistributedEnvironment(),
        hopeless=ObjectiveMissed(load["limits"]),
    )
    return [
        _record(response, request, info)
        async for response, request, info, _ in updates
        if info.status in ENDED and info.timings.targeted_start is not None
    ]


def _requests(prompts: Sequence[Any], indices: Sequence[int]) -> Iterator[Any]:
    for number, index in enumerate(indices):
        request = GenerationRequest(
            request_id=f"{number}-{index}", columns={"text_column": [json.dumps(prompts[index])]}
        )
        node = GenerativeConversationNode(node_id="0", agent_id="", request=request)
        yield GenerativeConversationGraph(graph_id=str(number), nodes={"0": node}, edges=[])


def _record(
    response: GenerationResponse | None, request: GenerationRequest, info: RequestInfo
) -> dict[str, Any]:
    """One request as JSON: moments in Unix seconds, null where it did not get that far."""
    moments = info.timings
    return {
        "prompt": int(request.request_id.split("-")[1]),
        "due": moments.targeted_start,
        "sent": moments.request_start,
        "first_token": moments.first_token_iteration or moments.request_end,
        "end": moments.request_end,
        "text": response.text if response else None,
        "tokens_in": response.input_metrics.text_tokens if response else None,
        "tokens_out": response.output_metrics.text_tokens if response else None,
        "error": None if info.status == "completed" else info.error or info.status,
        "cancelled": info.status == "cancelled",
    }


def _elapsed(info: RequestInfo, what: str) -> float:
    """Seconds since a request was due, so that delays of the client count too."""
    moments = info.timings
    until = moments.request_end
    if what == "time_to_first_token":  # an answer may be empty
        until = moments.first_token_iteration or until
    return float("inf") if until is None else until - (moments.targeted_start or until)


def _overdue(info: RequestInfo, what: str, seconds: float, now: float) -> bool:
    moments = info.timings
    if moments.targeted_start is None:
        return False
    reached = what != "latency" and moments.first_token_iteration is not None
    return not reached and now - moments.targeted_start > seconds


if __name__ == "__main__":
    main(int(sys.argv[1]))
