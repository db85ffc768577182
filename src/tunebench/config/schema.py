"""The sections of params.yaml as frozen pydantic models, one field for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from tunebench.config.base import Count, Name, Settings, TrainSize, one_of, only_with
from tunebench.config.data import Dataset, Template
from tunebench.config.inference import Inference
from tunebench.config.options import Adapter, Generation, Options, Search, Training, merge
from tunebench.config.quantization import Quantization
from tunebench.errors import ParameterError, suggest

T = TypeVar("T")


class Grid(Settings):
    """What runs: names defined in the other sections, sizes and seeds."""

    models: Annotated[list[Name], Field(min_length=1)]
    datasets: Annotated[list[Name], Field(min_length=1)]
    prompting: list[Name] = []
    tuning: list[Name] = []
    train_sizes: list[TrainSize] = []
    seeds: list[Annotated[int, Field(ge=0)]] = []

    @model_validator(mode="after")
    def _something_runs(self) -> Grid:
        if not self.prompting and not self.tuning:
            raise ValueError("nothing to run: name a method under prompting or tuning")
        if self.tuning and not (self.train_sizes and self.seeds):
            raise ValueError("tuning methods need at least one entry in train_sizes and in seeds")
        return self


class Model(Settings):
    """A base model: a repository on the Hub, or a local folder in the same layout.

    `dtype`, `attn_implementation` and `device_map` are arguments of `from_pretrained`.
    """

    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attn_implementation: str | None = None
    device_map: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        one_of(self, "path", "hub")
        only_with(self, "hub", "revision")
        return self


class PromptingMethod(Settings):
    """Ask the untouched model, after `shots` solved examples from the training rows."""

    kind: Literal["prompting"]
    shots: Annotated[int, Field(ge=0)] = 0
    shots_order: Literal["stratified", "source"] = "stratified"
    template: Name | None = None
    instruction: str | None = None


class TuningMethod(Settings):
    """What every trained method has.

    `search` lists values of training settings: each combination is trained, and the one with the
    lowest loss on validation rows is kept.
    """

    quantization: Quantization = None
    training: Training = {}
    search: Search = {}


class PeftMethod(TuningMethod):
    """Train what a PEFT configuration adds; `adapter` is that configuration's own keys."""

    kind: Literal["peft"]
    adapter: Adapter


def virtual_tokens(adapter: Options) -> int:
    """How many positions a PEFT configuration puts before a prompt."""
    given = adapter.get("num_virtual_tokens") or len(adapter.get("cpt_token_ids") or ())
    return int(given)


class FullMethod(TuningMethod):
    """Train every weight of the model."""

    kind: Literal["full"]
    quantization: None = None


Method = Annotated[PromptingMethod | PeftMethod | FullMethod, Field(discriminator="kind")]


class Forgetting(Settings):
    """Text of another domain, on which tuning may raise the loss: test rows of a data set."""

    dataset: Name
    rows: Count = 100


class Evaluation(Settings):
    """How answers are read from the model; `generation` holds GenerationConfig fields.

    `mode: score` takes the likeliest label, its log-likelihood divided by its tokens or its bytes
    where `label_normalization` says so. `label_end` tells whether a label is scored with the end of
    the answer behind it: where one label begins another it must be. `mode: generate` writes text
    and looks whether it is a label. `batch_tokens` go through the model at once, padding included;
    halved where memory ends. `select` tells which epoch of a tuned run is tested, where
    `save_strategy: epoch` kept them all; `best_test` peeks at the test rows, as some published
    tables did, and its result says so.
    """

    mode: Literal["score", "generate"] = "score"
    select: Literal["last", "best_validation", "best_test"] = "last"
    label_normalization: Literal["none", "tokens", "bytes"] = "none"
    label_end: Literal["where_needed", "always", "never"] = "where_needed"
    batch_tokens: Count = 16384
    forgetting: Forgetting | None = None
    generation: Generation = {}


class Hardware(Settings):
    """The machine's name in the report and its price."""

    name: str = "this machine"
    usd_per_hour: Annotated[float, Field(ge=0)] = 0.0


class Cost(Settings):
    """Prices beside the machine's: of a label, or a summary, that a person writes."""

    usd_per_label: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PublishedResult(Settings):
    """One run's published metrics, each a fraction as this project's own: `accuracy: 0.749`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    model: Name
    dataset: Name
    method: Name
    train_size: TrainSize | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Metric name → published value."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _fractions(self) -> PublishedResult:
        if not self.metrics:
            raise ValueError("names no metric; write its value: accuracy: 0.749")
        for name, value in self.metrics.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: {value!r} is no fraction; for 74.9% write 0.749")
        return self


class Published(Settings):
    """Numbers that somebody else reported, shown beside the measured ones."""

    source: str
    results: Annotated[list[PublishedResult], Field(min_length=1)]


class Params(Settings):
    """The whole of params.yaml."""

    study: str
    grid: Grid
    models: dict[Name, Model]
    datasets: dict[Name, Dataset]
    templates: dict[Name, Template]
    methods: dict[Name, Method]
    training: Training
    evaluation: Evaluation
    inference: Inference
    hardware: Hardware
    published: Published | None = None
    cost: Cost | None = None

    def model(self, name: str) -> Model:
        """The model that `--model` names."""
        return _named(self.models, name, "model")

    def dataset(self, name: str) -> Dataset:
        """The data set that `--dataset` names."""
        return _named(self.datasets, name, "dataset")

    def forgetting_for(self, dataset: str) -> Forgetting | None:
        """The text of another domain than a data set's; None where it has the same source."""
        held = self.evaluation.forgetting
        if held is None or self.dataset(held.dataset).origin == self.dataset(dataset).origin:
            return None
        return held

    def method(self, name: str) -> PromptingMethod | PeftMethod | FullMethod:
        """The method that `--method` names."""
        return _named(self.methods, name, "method")

    def prompting_method(self, name: str) -> PromptingMethod:
        """The prompting method that `--method` names."""
        method = self.method(name)
        if not isinstance(method, PromptingMethod):
            raise ParameterError([f"--method: {name!r} is tuned: give --train-size and --seed"])
        return method

    def tuning_method(self, name: str) -> TuningMethod:
        """The tuning method that `--method` names."""
        method = self.method(name)
        if isinstance(method, PromptingMethod):
            raise ParameterError([f"--method: {name!r} is a prompting method: it has no training"])
        return method

    def training_for(self, dataset: Dataset, method: TuningMethod) -> Options:
        """TrainingArguments of one run: defaults, then the data set's, then the method's."""
        return merge(self.training, dataset.training, method.training)

    def generation_for(self, dataset: Dataset) -> Options:
        """GenerationConfig fields of one data set; greedy unless a parameter says otherwise.

        Without `max_new_tokens` an answer takes as many as its prompt keeps free.
        """
        return merge({"do_sample": False}, self.evaluation.generation, dataset.generation)

    @property
    def virtual_tokens(self) -> int:
        """The most positions that a method of the grid puts before a prompt.

        All methods see the same prompts, so all leave room for them.
        """
        tuned = [self.tuning_method(name) for name in self.grid.tuning]
        adapters = [method.adapter for method in tuned if isinstance(method, PeftMethod)]
        return max(map(virtual_tokens, adapters), default=0)


def _named(table: Mapping[str, T], name: str, option: str) -> T:
    if name not in table:
        raise ParameterError([f"--{option}: {name!r} is not defined; {suggest(name, table)}"])
    return table[name]
