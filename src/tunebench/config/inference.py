"""The section `inference`: what is timed, what is load-tested, and how much demand there is."""

from __future__ import annotations

import re
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tunebench.config.base import Count, Name, Settings, TrainSize, one_of, only_with

# what a command must, and what it may, hold between braces
NEEDED = {"model", "port"}
PLACES = NEEDED | {"dtype"}
LIMIT = re.compile(r"(?P<what>latency|time_to_first_token)_p(?P<percent>50|90|95|99)_s")

Seconds = Annotated[float, Field(gt=0)]


class Timing(Settings):
    """What is timed, for the runs of one train size: `prompts` test prompts, in `repeats` rounds.

    `warmup` requests at least go before. `batch_sizes` left out are 1, 4, 16, …, until more brings
    nothing or memory ends. `new_tokens` are written, always that many.
    """

    train_size: TrainSize | None = None
    prompts: Count = 16
    warmup: Count = 2
    repeats: Count = 3
    batch_sizes: Annotated[list[Count], Field(min_length=1)] | None = None
    new_tokens: Count = 32


class Server(Settings):
    """A program that serves a model by the OpenAI API, or a URL where one already runs.

    `command` holds `{model}`, the folder with the weights, `{port}`, and if wanted `{dtype}`;
    `adapter_arguments` are added where the server takes the adapter beside the untouched model, at
    `{adapter}`, and `adapter_name` is then what requests ask for. Without them adapters are merged.
    `api_key_env` names the environment variable with the key. `prefix_cache` is recorded: with it a
    prompt's beginning that was seen before costs less.
    """

    command: str | None = None
    adapter_arguments: str | None = None
    adapter_name: str | None = None
    url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    ready: str = "/health"
    port: Literal["auto"] | Annotated[int, Field(ge=1, le=65535)] = "auto"
    ready_within_s: Seconds = 600.0
    prefix_cache: Literal["on", "off", "unknown"] = "unknown"
    install: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Server:
        one_of(self, "command", "url")
        only_with(self, "command", "adapter_arguments")
        only_with(self, "url", "model")
        only_with(self, "adapter_arguments", "adapter_name")
        if self.url is not None and self.model is None:
            raise ValueError("model: is missing; write the name that the server knows it by")
        if (self.adapter_arguments is None) != (self.adapter_name is None):
            raise ValueError("adapter_name: is missing; write what requests ask the adapter by")
        _places("command", self.command, needed=NEEDED, known=PLACES)
        _places("adapter_arguments", self.adapter_arguments, needed={"adapter"},
                known=PLACES | {"adapter"})  # fmt: skip
        return self


class LoadTest(Settings):
    """The methods that are put behind a server, named as under grid."""

    tuning: list[Name] = []
    prompting: list[Name] = []


class Serving(Settings):
    """How load is put on a server, and what it must reach.

    A rate holds if the objective's percentiles of latency stay below their limits, failed requests
    counted as late, over at least `min_requests` and `hold_s` seconds. `rate_precision` ends the
    search: how far, as a fraction, the first rate that does not hold lies above the last that does.
    """

    load_test: LoadTest = LoadTest()
    server: Name = "transformers"
    servers: dict[Name, Server] = {}
    objective: dict[str, Seconds] = {"latency_p99_s": 2.0}
    min_requests: Annotated[int, Field(ge=20)] = 100
    hold_s: Seconds = 30.0
    timeout_s: Seconds = 60.0
    rate_precision: Annotated[float, Field(gt=0, le=1)] = 0.1
    max_rates: Count = 16

    @model_validator(mode="after")
    def _limits(self) -> Serving:
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
    """All of the section; stages depend on the part that can change their numbers.

    `demand_rps` are the requests a second to plan machines for, with `demand_margin` (a fraction)
    to spare.
    """

    demand_rps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    demand_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3

    @property
    def timing(self) -> Timing:
        """What `time_inference` depends on."""
        return Timing(**self.model_dump(include=set(Timing.model_fields)))

    @property
    def serving(self) -> Serving:
        """What `load_test` depends on."""
        return Serving(**self.model_dump(include=set(Serving.model_fields)))


def limits(objective: dict[str, float]) -> list[tuple[str, float, float]]:
    """What each limit of an objective is on, the fraction that must keep it, and its seconds."""
    found = []
    for name, seconds in objective.items():
        match = LIMIT.fullmatch(name)
        assert match
        found.append((match["what"], int(match["percent"]) / 100, seconds))
    return found


def _places(key: str, text: str | None, *, needed: set[str], known: set[str]) -> None:
    if text is None:
        return
    try:
        fields: set[Any] = {
            field for _, field, _, _ in Formatter().parse(text) if field is not None
        }
    except ValueError as error:
        raise ValueError(f"{key}: {error}; write a brace that is no place twice") from None
    for field in sorted(needed - fields):
        raise ValueError(f"{key}: has no {{{field}}}")
    for field in sorted(fields - known):
        places = ", ".join(f"{{{name}}}" for name in sorted(known))
        raise ValueError(f"{key}: {{{field}}} is unknown; there are {places}")
