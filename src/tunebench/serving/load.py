"""Open-loop load on a server, and what came back: requests that fall due whatever happened before.

The load comes from guidellm. A request's latency counts from the moment at which it was due, not
from when a client got around to sending it, so that no queue is hidden (what Gil Tene named
coordinated omission).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import floor
from pathlib import Path
from typing import IO, Any

from tunebench.config.inference import limits
from tunebench.errors import ServingError
from tunebench.serving.payloads import Payload
from tunebench.serving.processes import supervised
from tunebench.serving.servers import Endpoint, last_words

NO_COMPLETION = "the answer holds no completion"
TIMEOUTS = ("Timeout",)  # how httpx's names for them end
ENVIRONMENT = {
    "GUIDELLM__LOGGING__CONSOLE_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Request:
    """One request of a load: its prompt's number, its moments, and what the server wrote.

    The moments are Unix seconds, None where it did not come so far. `error` is empty where it was
    answered; `cancelled` ones were on their way when a load was ended early. The tokens are those
    that the server counted, None where it does not.
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
    def told(cls, record: dict[str, Any]) -> Request:
        """What the generator's process told of one."""
        text, error = record["text"] or "", record["error"] or ""
        if not error and not text and record["tokens_out"] is None:
            error = NO_COMPLETION
        return cls(**record | {"text": text, "error": error})

    @property
    def timed_out(self) -> bool:
        """Whether the client gave up waiting."""
        return self.error.partition("(")[0].endswith(TIMEOUTS)

    def seconds(self, what: str) -> float:
        """Its `latency`, `time_to_first_token` or `client_lag`, all from when it was due.

        Infinite where it failed.
        """
        moment = {"latency": self.end, "time_to_first_token": self.first_token,
                  "client_lag": self.sent}[what]  # fmt: skip
        return float("inf") if self.error or moment is None else moment - self.due


@dataclass(frozen=True)
class Load:
    """What one offered rate (requests/s; None for one after the other) led to.

    `planned` counts the requests that there should have been; fewer were sent where it was clear
    before the end that the objective cannot be met.
    """

    rate: float | None
    planned: int
    requests: Sequence[Request]

    @cached_property
    def successful(self) -> list[Request]:
        """The requests that were answered."""
        return [request for request in self.requests if not request.error]

    @property
    def achieved_rps(self) -> float:
        """Requests answered a second, from when the first was due until the last one's end."""
        if not self.successful:
            return 0.0
        last = max(request.end or 0 for request in self.successful)
        return len(self.successful) / (last - min(request.due for request in self.requests))

    def holds(self, objective: dict[str, float]) -> bool:
        """Whether enough of all planned requests keep every limit; those that failed do not."""
        return all(
            sum(request.seconds(what) <= seconds for request in self.requests)
            >= self.planned - late
            for what, late, seconds in tolerated(objective, self.planned)
        )


def tolerated(objective: dict[str, float], requests: int) -> list[tuple[str, int, float]]:
    """For each limit what it is on, how many of the requests may miss it, and its seconds."""
    return [
        (what, floor((1 - fraction) * requests + 1e-9), seconds)
        for what, fraction, seconds in limits(objective)
    ]


@dataclass(frozen=True)
class Generator:
    """A process of guidellm, ready to put load on one server."""

    process: subprocess.Popen[bytes]
    replies: IO[str]
    log: Path
    prompts: int

    def load(
        self,
        rate: float | None,
        requests: int,
        *,
        seed: int,
        objective: dict[str, float] | None = None,
    ) -> Load:
        """Send `requests` requests, falling due at random at `rate`, or one after the other.

        Each prompt comes once before any comes again, in an order that `seed` decides.

        Args:
            objective: ended early when so many are late that it cannot be met any more.

        Raises:
            ServingError: if guidellm itself fails.
        """
        order = random.Random(seed)
        asked: list[int] = []
        while len(asked) < requests:
            asked += order.sample(range(self.prompts), self.prompts)
        found = self._ask(
            {
                "rate": rate,
                "seed": seed,
                "prompts": asked[:requests],
                "limits": tolerated(objective or {}, requests),
            }
        )
        return Load(rate, requests, [Request.told(record) for record in found["requests"]])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.replies.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ServingError(f"the load generator, guidellm, ended; {last_words(self.log)}")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def generator(
    endpoint: Endpoint,
    prompts: Sequence[Payload],
    *,
    body: Mapping[str, Any],
    timeout_s: float,
    log: Path,
) -> Iterator[Generator]:
    """guidellm, started for one server and one set of prompts, and ended with the block.

    Args:
        prompts: each as the server takes it, a text or token ids.
        body: what every request says besides its prompt, in the OpenAI API's words.
        timeout_s: how long a client waits for the next token.
        log: the file that guidellm's output goes to.

    Raises:
        ServingError: if it does not start.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "tunebench.serving.generator", str(writing)]
    environment = ENVIRONMENT | (
        {"TUNEBENCH_API_KEY": endpoint.api_key} if endpoint.api_key else {}
    )
    with (
        log.open("wb") as file,
        os.fdopen(reading) as replies,
        supervised(
            command, log=file, environment=environment, stdin=subprocess.PIPE, inherited=[writing]
        ) as process,
    ):
        os.close(writing)
        made = Generator(process, replies, log, len(prompts))
        made._ask(
            {
                "url": endpoint.url,
                "model": endpoint.model,
                "prompts": list(prompts),
                "timeout_s": timeout_s,
                "body": dict(body),
            }
        )
        yield made
