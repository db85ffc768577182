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

from tunebench.serving.lateness import Limit, Plan, Verdict

AHEAD_S = 0.05
CHECK_S = 0.05  # between looks at what is known
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


class Decided:
    """A constraint that ends a load once its requests tell whether the rate holds.

    They are looked at as `plan` says, in the order in which they were due. A request that is still
    outstanding after a limit is late already. If the rate holds, those requests end first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.looks = list(plan.looks)
        self.infos: dict[int, RequestInfo] = {}
        self.verdict: Verdict = "undecided"
        self.count = plan.most  # how many requests told it
        self.checked = 0.0

    def __call__(self, _: SchedulerState, info: RequestInfo | None) -> SchedulerUpdateAction:
        """Called by guidellm when a request changes its status, and periodically."""
        if info is not None and info.status != "queued":
            self.infos[_number(info.request_id)] = info
        now = time.time()
        if self.verdict == "undecided" and now >= self.checked + CHECK_S:
            self.checked = now
            self.look(now)
        if self.verdict == "undecided":
            return SchedulerUpdateAction()
        return SchedulerUpdateAction(request_queuing="stop", request_processing="stop_all")

    def look(self, now: float) -> None:
        """Look at the requests as often as enough of them are known."""
        while self.looks and self.verdict == "undecided":
            infos = self._known(self.looks[0], now)
            if infos is None:
                return
            verdict = self._verdict(infos, now)
            if verdict == "holds" and any(info.status not in ENDED for info in infos):
                return
            count = self.looks.pop(0)
            if verdict != "undecided":
                self.verdict, self.count = verdict, count

    def _known(self, count: int, now: float) -> list[RequestInfo] | None:
        """The first requests; None while it is open whether one of them will be late."""
        if len(self.infos) < count:
            return None
        infos = []
        for number in range(count):
            info = self.infos.get(number)
            if info is None or not all(
                info.status in ENDED or _is_known(info, limit, now) for limit in self.plan.limits
            ):
                return None
            infos.append(info)
        return infos

    def _verdict(self, infos: Sequence[RequestInfo], now: float) -> Verdict:
        return self.plan.verdict(
            {
                limit.what: [_seconds(info, limit.what, now) for info in infos]
                for limit in self.plan.limits
            }
        )


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
            reply = asyncio.run(_load(backend, server["prompts"], load))
            out.write(json.dumps(reply) + "\n")
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
        api_key=os.environ.get("TUNEBENCH_API_KEY") or None,
        follow_redirects=False,  # the key would go with the request
        timeout=server["timeout_s"],
        timeout_connect=server["timeout_s"],
        validate_backend=False,
        verify=True,
        http2=False,
        extras={"body": server["body"]},
    )


async def _load(backend: Any, prompts: Sequence[Any], load: dict[str, Any]) -> dict[str, Any]:
    """Run one load; a record of each request that was sent, in the order in which they ended.

    With a plan, the verdict too, and only the requests that told it.
    """
    strategy: SchedulingStrategy = (
        PunctualPoisson(rate=load["rate"], random_seed=load["seed"])
        if load["rate"]
        else SynchronousStrategy()
    )
    decided = Decided(_plan(load["plan"])) if load["plan"] else None
    updates = Scheduler().run(
        requests=list(_requests(prompts, load["prompts"])),
        backend=backend,
        strategy=strategy,
        env=NonDistributedEnvironment(),
        **({"decided": decided} if decided else {}),
    )
    ended = [
        (request.request_id, _record(response, request, info))
        async for response, request, info, _ in updates
        if info.status in ENDED and info.timings.targeted_start is not None
    ]
    if decided:
        decided.look(time.time())  # the last request may have ended after the last call
    count = decided.count if decided else len(load["prompts"])
    return {
        "requests": [record for request_id, record in ended if _number(request_id) < count],
        "verdict": decided.verdict if decided else None,
    }


def _plan(given: dict[str, Any]) -> Plan:
    return Plan(**given | {"limits": [Limit(**limit) for limit in given["limits"]]})


def _number(request_id: str) -> int:
    """A request's place in the order in which they are due."""
    return int(request_id.partition("-")[0])


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


def _seconds(info: RequestInfo, what: str, now: float) -> float:
    """Seconds since a request was due, so that delays of the client count too; inf if it failed."""
    moments = info.timings
    until = now if info.status not in ENDED else moments.request_end
    if what == "time_to_first_token":  # an answer may be empty
        until = moments.first_token_iteration or until
    if info.error is not None or until is None or moments.targeted_start is None:
        return float("inf")
    return float(until - moments.targeted_start)


def _is_known(info: RequestInfo, limit: Limit, now: float) -> bool:
    """Whether it is known already that a request is late, or that it is not."""
    moments = info.timings
    if moments.targeted_start is None:
        return False
    reached = limit.what != "latency" and moments.first_token_iteration is not None
    return reached or now - moments.targeted_start > limit.seconds


if __name__ == "__main__":
    main(int(sys.argv[1]))
