"""The sections of params.yaml as frozen pydantic models, one field for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from tunebench.config.base import Count, Name, Settings, Text, TrainSize, Usd, one_of, only_with
from tunebench.config.baselines import BaselineMethod, LeadMethod, LinearMethod, MajorityMethod
from tunebench.config.data import Dataset, Template
from tunebench.config.inference import Inference
from tunebench.config.loading import Attention, DeviceMap
from tunebench.config.options import Adapter, Generation, Options, Search, Training, merge
from tunebench.config.quantization import Quantization
from tunebench.errors import ParameterError, suggest
from tunebench.paths import Run

T = TypeVar("T")


class Grid(Settings):
    """What runs: names defined in the other sections, sizes and seeds.

    All keys but `baselines` are written out, empty lists too: `dvc.yaml` reads each of them.
    """

    models: Annotated[list[Name], Field(min_length=1)]
    """Names from `models`."""
    datasets: Annotated[list[Name], Field(min_length=1)]
    """Names from `datasets`."""
    prompting: list[Name]
    """Names of `kind: prompting` from `methods`; `[]` for none."""
    tuning: list[Name]
    """Names of `kind: peft` or `kind: full` from `methods`; `[]` for none."""
    baselines: list[Name] = []
    """Names of `kind: majority`, `kind: linear` or `kind: lead` from `methods`. Each runs on the
    data sets of its task."""
    train_sizes: list[TrainSize]
    """How many training rows; smaller subsets of a seed are parts of its larger ones."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]]
    """Seeds of the subset, the initial weights and the order of the batches; and of the solved
    examples of a prompting method."""

    @model_validator(mode="after")
    def _something_runs(self) -> Grid:
        if not self.prompting and not self.tuning and not self.baselines:
            raise ValueError("nothing to run: name a method under prompting, tuning or baselines")
        trained = "tuning methods" if self.tuning else "baselines" if self.baselines else ""
        if trained and not (self.train_sizes and self.seeds):
            raise ValueError(f"{trained} need at least one entry in train_sizes and in seeds")
        return self


class Model(Settings):
    """A base model: a repository on the Hub, or a local folder in the same layout.

    Exactly one of `path` and `hub` is given.
    """

    path: Text | None = None
    """A local folder in the Hugging Face layout, with safetensors weights; or a GGUF file, which is
    dequantized once, into the Hugging Face cache."""
    hub: Text | None = None
    """A model repository on the Hugging Face Hub: `owner/name`."""
    revision: Text | None = None
    """Branch, tag or commit of the repository; `main` where it is left out."""
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """The precision that the model runs in, in training too; weights that train are float32. `auto`
    is bfloat16 where `fetch_model` measures that this device computes faster in it, else float32.
    """
    attn_implementation: Attention | None = None
    """Argument of `from_pretrained`: `sdpa`, `eager`, `flash_attention_2`, …"""
    device_map: DeviceMap | None = None
    """Argument of `from_pretrained`: `auto` spreads one model over all GPUs; or a device."""

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        one_of(self, "path", "hub")
        only_with(self, "hub", "revision")
        return self


class PromptingMethod(Settings):
    """Ask the untouched model."""

    kind: Literal["prompting"]
    """What the method does: it asks, and trains nothing."""
    shots: Annotated[int, Field(ge=0)] = 0
    """How many solved examples, from the training rows, stand before the question."""
    shots_order: Literal["stratified", "source"] = "stratified"
    """Draw the examples at random, balanced over the labels, or take the source's first rows."""
    template: Name | None = None
    """A template for this method in place of the data set's."""
    instruction: str | None = None
    """An instruction for this method in place of the data set's."""


class TuningMethod(Settings):
    """What every trained method has."""

    quantization: Quantization = None
    """How the base's weights are quantized by bitsandbytes; left out, they are not."""
    training: Training = {}
    """Training settings of this method; they override `training` and `datasets.<d>.training`."""
    search: Search = {}
    """Training settings, each with a list of values: every combination is trained, and the one
    with the lowest loss on validation rows is kept."""


class PeftMethod(TuningMethod):
    """Train what a PEFT configuration adds to the model."""

    kind: Literal["peft"]
    """What the method does: it trains an adapter."""
    adapter: Adapter
    """The PEFT configuration, with `peft_type`, as `adapter_config.json` would hold it."""


def virtual_tokens(adapter: Options) -> int:
    """How many virtual tokens a PEFT configuration puts before a prompt."""
    count = adapter.get("num_virtual_tokens") or len(adapter.get("cpt_token_ids") or ())
    return int(count)


class FullMethod(TuningMethod):
    """Train every weight of the model."""

    kind: Literal["full"]
    """What the method does: it trains all weights."""
    quantization: None = None
    """Weights that all train cannot be quantized: leave it out."""


Method = Annotated[
    PromptingMethod | PeftMethod | FullMethod | MajorityMethod | LinearMethod | LeadMethod,
    Field(discriminator="kind"),
]


class Forgetting(Settings):
    """Text of another domain, on which tuning may raise the loss: test rows of a data set."""

    dataset: Name
    """The data set, defined under `datasets`; it need not stand in the grid."""
    rows: Count = 100
    """How many of its test rows."""


class Evaluation(Settings):
    """How answers are read from the model."""

    mode: Literal["score", "generate"] = "score"
    """Classification: take the label of the highest log-likelihood, or write text and match it."""
    select: Literal["last", "best_validation", "best_test"] = "last"
    """Which epoch of a tuned run is tested, where `save_strategy: epoch` kept all; `best_test`
    chooses on the test rows, as some published tables did, and its result is marked optimistic."""
    label_normalization: Literal["none", "tokens", "bytes"] = "none"
    """Divide a label's log-likelihood by its number of tokens or bytes."""
    label_end: Literal["where_needed", "always", "never"] = "where_needed"
    """Score labels with the end of the answer: where one label begins another, always or never."""
    batch_tokens: Count = 16384
    """Tokens in one batch, padding included; halved when memory runs out."""
    forgetting: Forgetting | None = None
    """Text of another data set, on which the loss before and after tuning is compared."""
    generation: Generation = {}
    """How text is written; greedy by default."""


class Hardware(Settings):
    """The machine's name in the report and its price."""

    name: str = "this machine"
    """What the report calls the machine."""
    usd_per_hour: Usd = 0.0
    """The price of the machine for an hour in dollars, with all its devices; at 0 the tables hold
    no dollars of a machine."""
    repeatability: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """The least relative standard deviation of the seconds of the same work in another run, which
    is part of every price's interval. Where the machine's speed was seen to vary more from training
    to training, that is taken."""


class Cost(Settings):
    """Prices beside the machine's: of a label, or a summary, that a person writes."""

    usd_per_label: Usd
    """The price in dollars of one label, or of one written summary."""


class Report(Settings):
    """What the report page shows."""

    rows: Annotated[int, Field(ge=0, le=200)] = 200
    """How many test rows of a data set can be read on the page, with what each run answered; the
    worst errors first. At 0 no text of the data is on the page, for those who may not share it."""


class PublishedResult(Settings):
    """One run's published metrics: any further key is one, as a fraction: `accuracy: 0.749`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    model: Name
    """Name under `models`."""
    dataset: Name
    """Name under `datasets`."""
    method: Name
    """Name under `methods`."""
    train_size: TrainSize | None = None
    """The train size of a tuning method; prompting methods have none."""

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
    """Where the numbers were published."""
    results: Annotated[list[PublishedResult], Field(min_length=1)]
    """One entry for each run, with its metrics."""


class Params(Settings):
    """The whole of params.yaml."""

    study: str
    """The title of the report."""
    grid: Grid
    """What runs."""
    models: dict[Name, Model]
    """Base models by name."""
    datasets: dict[Name, Dataset]
    """Data sets by name."""
    templates: dict[Name, Template]
    """Prompt formats by name."""
    methods: dict[Name, Method]
    """Prompting and tuning methods, and baselines, by name."""
    training: Training
    """Training settings of all runs; data sets and methods override them key by key."""
    evaluation: Evaluation
    """How answers are read from the model."""
    inference: Inference
    """What is timed and load-tested, and the demand to plan for."""
    hardware: Hardware
    """The machine and its price."""
    published: Published | None = None
    """Published numbers, shown beside the measured ones."""
    cost: Cost | None = None
    """Prices beside the machine's."""
    report: Report = Report()
    """What the report page shows."""

    def model(self, name: str) -> Model:
        """The model that `--model` names."""
        return _named(self.models, name, "model")

    def dataset(self, name: str) -> Dataset:
        """The data set that `--dataset` names."""
        return _named(self.datasets, name, "dataset")

    def forgetting_for(self, dataset: str) -> Forgetting | None:
        """The forgetting text for a data set; None if it has the same source."""
        forgetting = self.evaluation.forgetting
        if (
            forgetting is None
            or self.dataset(forgetting.dataset).origin == self.dataset(dataset).origin
        ):
            return None
        return forgetting

    def any_method(self, name: str) -> PromptingMethod | TuningMethod | BaselineMethod:
        """The method of that name, with a language model or without."""
        return _named(self.methods, name, "method")

    def method(self, name: str) -> PromptingMethod | PeftMethod | FullMethod:
        """The method of a language model that `--method` names."""
        method = _named(self.methods, name, "method")
        if isinstance(method, BaselineMethod):
            raise ParameterError(
                [f"--method: {name!r} has no language model: python -m stages.baselines runs it"]
            )
        return method

    def times(self, run: Run) -> bool:
        """Whether a run is the one of its method that is timed; the size 1 is a row, 1.0 all."""
        size, seed = str(self.inference.train_size), self.grid.seeds[:1]
        return run.train_size is None or (str(run.train_size), [run.seed]) == (size, seed)

    def baselines_for(self, dataset: str) -> dict[str, BaselineMethod]:
        """The methods of `grid.baselines` that can answer a data set's task, by name."""
        task = self.dataset(dataset).task
        named = ((name, self.methods[name]) for name in self.grid.baselines)
        return {
            name: method
            for name, method in named
            if isinstance(method, BaselineMethod) and method.task == task
        }

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

        Without `max_new_tokens` the limit is what the prompts leave for the answer.
        """
        return merge({"do_sample": False}, self.evaluation.generation, dataset.generation)

    @property
    def virtual_tokens(self) -> int:
        """The most virtual tokens of a method in the grid.

        All methods see the same prompts, so all prompts leave room for them.
        """
        tuned = [self.tuning_method(name) for name in self.grid.tuning]
        adapters = [method.adapter for method in tuned if isinstance(method, PeftMethod)]
        return max(map(virtual_tokens, adapters), default=0)


def _named(table: Mapping[str, T], name: str, option: str) -> T:
    if name not in table:
        raise ParameterError([f"--{option}: {name!r} is not defined; {suggest(name, table)}"])
    return table[name]
