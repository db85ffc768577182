"""The section `inference`: what is timed, what is load-tested, and how much demand there is."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tunebench.config.base import Count, Name, Settings, TrainSize, one_of, only_with
from tunebench.config.data import placeholders

# required and allowed placeholders of a command
NEEDED = {"model", "port"}
PLACES = NEEDED | {"dtype"}
VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
LIMIT = re.compile(r"(?P<what>latency|time_to_first_token)_p(?P<percent>50|90|95|99)_s")

# 30 days at most: sockets and timers overflow at some 10^9 s
Seconds = Annotated[float, Field(gt=0, le=2_592_000)]


class Timing(Settings):
    """What is timed."""

    train_size: TrainSize | None = None
    """The runs of this one of `grid.train_sizes` are timed and load-tested."""
    prompts: Count = 16
    """How many test prompts are asked, one at a time. p90 needs 36 of them, p99 needs 368."""
    warmup: Count = 2
    """At least so many requests are made before the first that counts."""
    repeats: Count = 3
    """In how many rounds the prompts are asked."""
    batch_sizes: Annotated[list[Count], Field(min_length=1)] | None = None
    """Batch sizes of the throughput; left out: 1, 4, 16, … until throughput rises by less than 5%
    or memory runs out."""
    new_tokens: Count | None = None
    """Left out, a text is timed as it is evaluated, up to its own end, and a label that is scored
    writes no tokens. A number: each request writes exactly so many, to compare hardware."""


class Server(Settings):
    """A program that serves a model by the OpenAI API, or a URL where one already runs.

    Exactly one of `command` and `url` is given.
    """

    command: str | None = None
    """What starts the server, with `{model}` (a folder), `{port}` and, if wanted, `{dtype}`."""
    adapter_arguments: str | None = None
    """Added to `command` to serve an adapter beside the base, with `{adapter}` (a folder); left
    out, adapters are merged."""
    adapter_name: str | None = None
    """The name by which requests ask for that adapter."""
    url: str | None = None
    """The address of a server that runs already."""
    model: str | None = None
    """The name by which the server at `url` knows the model."""
    api_key_env: str | None = None
    """The environment variable that holds the server's API key."""
    allowed_tokens: Literal["generation_config", "allowed_token_ids"] | None = None
    """How the server is told which tokens it may answer with, where labels are scored: by the
    model's generation_config.json (`transformers serve`), or by that field of a request (vLLM).
    Left out, labels are written."""
    ready: str = "/health"
    """The path that answers 200 when the server is ready."""
    port: Literal["auto"] | Annotated[int, Field(ge=1, le=65535)] = "auto"
    """The port to start the server on; `auto` takes a free one."""
    ready_within_s: Seconds = 600.0
    """How many seconds the server has to get ready."""
    prefix_cache: Literal["on", "off", "unknown"] = "unknown"
    """Whether the server reuses the start of earlier prompts; it is recorded, not set."""
    install: str | None = None
    """How the program is installed, for the message when it is missing."""

    @model_validator(mode="after")
    def _one_kind(self) -> Server:
        one_of(self, "command", "url")
        only_with(self, "command", "adapter_arguments")
        only_with(self, "url", "model")
        only_with(self, "adapter_arguments", "adapter_name")
        if self.url is not None and self.allowed_tokens == "generation_config":
            raise ValueError("allowed_tokens: generation_config goes with command only")
        if self.url is not None and self.model is None:
            raise ValueError("model: is missing; write the name that the server knows it by")
        if (self.adapter_arguments is None) != (self.adapter_name is None):
            raise ValueError("adapter_name: is missing; write what requests ask the adapter by")
        for key in ("command", "adapter_arguments"):
            if "trust-remote-code" in (getattr(self, key) or "").replace("_", "-"):
                raise ValueError(f"{key}: --trust-remote-code runs a model's own code; take it out")
        _check_address(self)
        _places("command", self.command, needed=NEEDED, allowed=PLACES)
        _places("adapter_arguments", self.adapter_arguments, needed={"adapter"},
                allowed=PLACES | {"adapter"})  # fmt: skip
        return self


class LoadTest(Settings):
    """The methods that are put behind a server, named as under grid.

    `dvc.yaml` reads both lists, so both are written out.
    """

    tuning: list[Name]
    """Names from `grid.tuning`; `[]` for none."""
    prompting: list[Name]
    """Names from `grid.prompting`; `[]` for none."""


class Serving(Settings):
    """How load is put on a server, and what it must reach.

    A rate holds if few enough requests are late in the long run, failed ones among them: 1% where
    the objective limits p99. Each rate is loaded until that is shown with 95% confidence, one way
    or the other, or for `longest_hold_s`.
    """

    load_test: LoadTest = LoadTest(tuning=[], prompting=[])
    """The methods that are put behind a server."""
    server: Name = "transformers"
    """Which of `servers` is used."""
    servers: dict[Name, Server] = {}
    """Servers by name."""
    objective: dict[str, Seconds] = {"latency_p99_s": 2.0}
    """Limits in seconds: `latency_pN_s` and `time_to_first_token_pN_s`, N one of 50, 90, 95, 99."""
    min_requests: Annotated[int, Field(ge=20)] = 100
    """No rate is decided by fewer requests."""
    hold_s: Seconds = 30.0
    """No rate is shown to hold by fewer seconds."""
    longest_hold_s: Seconds = 300.0
    """A rate that is not decided by then stays undecided. A p99 needs some 900 requests, all of
    them in time, a p90 some 200; several times as many where they queue."""
    timeout_s: Seconds = 60.0
    """How long a client waits for the next token."""
    rate_precision: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The search ends when the next rate that was tried above the highest that holds, and the next
    below the lowest that fails, are at most this fraction away."""
    max_rates: Count = 16
    """The most rates that are tried."""

    @model_validator(mode="after")
    def _limits(self) -> Serving:
        if self.longest_hold_s < self.hold_s:
            raise ValueError(f"longest_hold_s: is shorter than hold_s = {self.hold_s:g}")
        if not self.objective:
            raise ValueError("objective: is empty; write one, as latency_p99_s: 2.0")
        for name in self.objective:
            if not LIMIT.fullmatch(name):
                raise ValueError(
                    f"objective.{name}: is no limit; write latency_pN_s or time_to_first_token_pN_s"
                    " with N 50, 90, 95 or 99"
                )
        return self


class Inference(Timing, Serving):
    """What is timed, what is load-tested, and the demand to plan machines for."""

    load_test: LoadTest
    """The methods that are put behind a server."""
    demand_rps: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """The requests a second to plan machines for; left out, the table `demand` is not made."""
    demand_margin: Annotated[float, Field(ge=0, le=1000)] = 0.3
    """How much more than the demand the machines must stand, as a fraction."""

    @property
    def timing(self) -> Timing:
        """What `time_inference` depends on."""
        return Timing(**self.model_dump(include=set(Timing.model_fields)))

    @property
    def serving(self) -> Serving:
        """What `load_test` depends on."""
        return Serving(**self.model_dump(include=set(Serving.model_fields)))


def limits(objective: dict[str, float]) -> list[tuple[str, float, float]]:
    """An objective's limits as (what is limited, fraction of requests to keep it, seconds)."""
    parsed = []
    for name, seconds in objective.items():
        match = LIMIT.fullmatch(name)
        assert match
        parsed.append((match["what"], int(match["percent"]) / 100, seconds))
    return parsed


def _places(key: str, text: str | None, *, needed: set[str], allowed: set[str]) -> None:
    if text is None:
        return
    try:
        fields = set(placeholders(text))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{key}: {str(error).lower()}; close each quote") from None
    for field in sorted(needed - fields):
        raise ValueError(f"{key}: has no {{{field}}}")
    for field in sorted(fields - allowed):
        places = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        raise ValueError(f"{key}: {{{field}}} is unknown; there are {places}")
    try:  # each word alone, as it is filled in
        for word in words:
            placeholders(word)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_address(server: Server) -> None:
    """Refuse what is no address of an API, or holds a password; a secret is not repeated."""
    if server.api_key_env is not None and not VARIABLE.fullmatch(server.api_key_env):
        raise ValueError(
            "api_key_env: is no variable's name; write the name of one that holds the key"
        )
    if not server.ready.startswith("/"):
        raise ValueError(f"ready: {server.ready!r} is no path; write /health")
    if server.url is None:
        return
    try:
        parts = urlsplit(server.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "url: holds a user or a password; leave them out, and name the environment variable of"
            " the key under api_key_env"
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError("url: is no address of a server; write http://host:port")
