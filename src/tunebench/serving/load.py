"""Open-loop load on a server by guidellm: requests are due whether or not earlier ones ended.

Latency counts from when a request was due, not from when the client sent it, so that queueing is
not hidden (Gil Tene's "coordinated omission").
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from tunebench.errors import ServingError
from tunebench.serving import clients
from tunebench.serving.lateness import Plan, Verdict
from tunebench.serving.payloads import Payload
from tunebench.serving.processes import supervised
from tunebench.serving.servers import Endpoint, last_words

NO_COMPLETION = "the answer holds no completion"
TIMEOUTS = ("Timeout",)  # suffixes of httpx's exception names
ENVIRONMENT = {
    "GUIDELLM__LOGGING__CONSOLE_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Request:
    """One request of a load: its prompt's index, its moments, and the server's answer.

    The moments are Unix seconds, None where it did not get that far. `error` is empty if it was
    answered; `cancelled` ones were in flight when the load was ended early. Tokens are as the
    server counts them, None if it does not.
    """

    prompt: int
    due: float
    sent: float | None
    first_token: float | None
    end: float | None
    text: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    error: str = ""
    cancelled: bool = False

    @classmethod
    def from_record(cls, record: dict[str, Any], key: str | None = None) -> Request:
        """The request that the generator process reported, without the API key."""
        text = clients.masked_answer(record["text"] or "", key)
        error = clients.masked(record["error"] or "", key)
        if not error and not text and record["tokens_out"] is None:
            error = NO_COMPLETION
        return cls(**record | {"text": text, "error": error})

    @property
    def timed_out(self) -> bool:
        """Whether the client gave up waiting."""
        return self.error.partition("(")[0].endswith(TIMEOUTS)

    def seconds(self, what: str) -> float:
        """Its `latency`, `time_to_first_token` or `client_lag` since it was due; inf on failure."""
        moment = {"latency": self.end, "time_to_first_token": self.first_token,
                  "client_lag": self.sent}[what]  # fmt: skip
        return float("inf") if self.error or moment is None else moment - self.due


@dataclass(frozen=True)
class Load:
    """The requests of one offered rate (requests/s; None for one at a time).

    `planned` is how many requests there were to be at most; a load ends once they tell whether its
    rate holds. `verdict` is what they told.
    """

    rate: float | None
    planned: int
    requests: Sequence[Request]
    verdict: Verdict = "undecided"

    @cached_property
    def successful(self) -> list[Request]:
        """The requests that were answered."""
        return [request for request in self.requests if not request.error]

    @property
    def achieved_rps(self) -> float:
        """Requests answered per second, from when the first was due until the last one's end."""
        if not self.successful:
            return 0.0
        last = max(request.end or 0 for request in self.successful)
        return len(self.successful) / (last - min(request.due for request in self.requests))


@dataclass(frozen=True)
class Generator:
    """A guidellm process, ready to put load on one server."""

    process: subprocess.Popen[bytes]
    replies: IO[str]
    log: Path
    prompts: int
    api_key: str | None = field(default=None, repr=False)

    def load(self, rate: float | None, requests: int, *, seed: int) -> Load:
        """Send `requests` requests, as Poisson arrivals at `rate` or one at a time.

        Every prompt is sent once before any is sent again, in an order that `seed` decides.

        Raises:
            ServingError: if guidellm itself fails.
        """
        reply = self._send(rate, requests, seed, None)
        return Load(rate, requests, reply["requests"])

    def decide(self, rate: float, plan: Plan, *, seed: int) -> Load:
        """Send requests as Poisson arrivals until `plan` decides, or all `plan.most` are sent.

        Raises:
            ServingError: if guidellm itself fails.
        """
        reply = self._send(rate, plan.most, seed, plan)
        return Load(rate, plan.most, reply["requests"], reply["verdict"])

    def _send(
        self, rate: float | None, requests: int, seed: int, plan: Plan | None
    ) -> dict[str, Any]:
        order = random.Random(seed)
        indices: list[int] = []
        while len(indices) < requests:
            indices += order.sample(range(self.prompts), self.prompts)
        message = {
            "rate": rate,
            "seed": seed,
            "prompts": indices[:requests],
            "plan": plan and asdict(plan),
        }
        reply = self._ask(message)
        return reply | {
            "requests": [Request.from_record(each, self.api_key) for each in reply["requests"]]
        }

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.replies.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ServingError(
                f"the load generator, guidellm, ended; {last_words(self.log, self.api_key)}"
            )
        reply: dict[str, Any] = json.loads(answer)
        return reply


@contextmanager
def guidellm(
    endpoint: Endpoint,
    prompts: Sequence[Payload],
    *,
    body: Mapping[str, Any],
    timeout_s: float,
    log: Path,
) -> Iterator[Generator]:
    """guidellm, started for one server and one set of prompts, and stopped after the block.

    Args:
        prompts: each as text or token ids, whichever the server takes.
        body: the other fields of every request, as the OpenAI API names them.
        timeout_s: how long a client waits for the next token.
        log: the file that guidellm's output goes to.

    Raises:
        ServingError: if it does not start.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "tunebench.serving.generator", str(writing)]
    environment = {
        **ENVIRONMENT,
        **clients.proxy_environment(endpoint.url),
        "TUNEBENCH_API_KEY": endpoint.api_key or "",
    }
    with (
        clients.log_file(log, endpoint.api_key) as file,
        os.fdopen(reading) as replies,
        supervised(
            command, log=file, environment=environment, stdin=subprocess.PIPE, inherited=[writing]
        ) as process,
    ):
        os.close(writing)
        started = Generator(process, replies, log, len(prompts), endpoint.api_key)
        started._ask(
            {
                "url": endpoint.url,
                "model": endpoint.model,
                "prompts": list(prompts),
                "timeout_s": timeout_s,
                "body": dict(body),
            }
        )
        yield started
