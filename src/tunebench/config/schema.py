"""The sections of params.yaml as frozen pydantic models, one field for each key."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    field_validator,
    model_validator,
)

from tunebench.config import library
from tunebench.errors import ParameterError, suggest

OWN_TRAINING_FIELDS = {"loss_on": ("completion", "all")}
MANAGED_TRAINING_FIELDS = {
    "output_dir": "each run has its own folder",
    "seed": "seeds are an axis: grid.seeds",
    "data_seed": "seeds are an axis: grid.seeds",
    "resume_from_checkpoint": "a killed run resumes by itself",
}
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
T = TypeVar("T")
Options = dict[str, Any]


def _train_size(value: Any) -> int | float:
    rows = type(value) is int and value >= 1
    fraction = type(value) is float and 0 < value <= 1
    if not (rows or fraction):
        raise ValueError(
            f"{value!r} is no train size; write a fraction up to 1.0, or a number of rows"
        )
    return value  # type: ignore[no-any-return]


# a float is a fraction of the training rows, an int a number of rows
TrainSize = Annotated[int | float, PlainValidator(_train_size)]


def merge(*levels: Mapping[str, Any]) -> Options:
    """Mappings merged key by key, nested ones too; later levels win.

    >>> merge({"a": {"x": 1, "y": 1}}, {"a": {"x": 2}})
    {'a': {'x': 2, 'y': 1}}
    """
    merged: Options = {}
    for level in levels:
        for key, value in level.items():
            old = merged.get(key)
            nested = isinstance(old, Mapping) and isinstance(value, Mapping)
            merged[key] = merge(old, value) if nested else value  # type: ignore[arg-type]
    return merged


def _placeholders(text: str, needed: set[str], optional: set[str]) -> str:
    try:
        found = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"{error}; write a literal brace twice, {{{{ or }}}}") from None
    for unknown in sorted(found - needed - optional):
        raise ValueError(f"{{{unknown}}} is no placeholder; {suggest(unknown, needed | optional)}")
    for missing in sorted(needed - found):
        raise ValueError(f"{{{missing}}} is missing")
    return text


def _option_faults(value: Options, fields: Mapping[str, Any]) -> list[str]:
    faults = []
    for key, given in value.items():
        if key not in fields:
            faults.append(f"{key}: unknown key; {suggest(key, fields)}")
        elif not library.accepts(fields[key], given):
            faults.append(f"{key}: {given!r} is not of type {library.type_name(fields[key])}")
    return faults


def _training_options(value: Options) -> Options:
    faults = [
        f"{key}: cannot be set here; {reason}"
        for key, reason in MANAGED_TRAINING_FIELDS.items()
        if key in value
    ]
    faults += [
        f"{key}: {value[key]!r} is unknown; {suggest(value[key], choices)}"
        for key, choices in OWN_TRAINING_FIELDS.items()
        if key in value and value[key] not in choices
    ]
    rest = {key: value[key] for key in value if key not in OWN_TRAINING_FIELDS}
    faults += _option_faults(rest, library.training_fields())
    if faults:
        raise ValueError("\n".join(faults))
    return value


def _generation_options(value: Options) -> Options:
    known = library.generation_fields()
    faults = [f"{key}: unknown key; {suggest(key, known)}" for key in value if key not in known]
    if faults:
        raise ValueError("\n".join(faults))
    return value


class Settings(BaseModel):
    """Base of every section: frozen, no unknown key, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
    """A base model: a local folder in the Hugging Face layout."""

    path: str
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attn_implementation: str | None = None


class Columns(Settings):
    """Which of the source's columns hold the text and its answer."""

    text: str = "text"
    label: str | None = None
    summary: str | None = None


class Dataset(Settings):
    """Rows, the task they pose, and how they become prompts."""

    generator: str | None = None
    path: str | dict[Literal["train", "validation", "test"], str] | None = None
    rows: dict[Literal["train", "validation", "test"], Count] | None = None
    task: Literal["classification", "summarization"]
    columns: Columns
    label_names: dict[int | str, str] | list[str] | None = None
    drop_empty: bool = False
    licence: str | None = None
    template: Name
    instruction: str = ""
    test_rows: Count | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation_rows: Annotated[int, Field(ge=0)] = 0
    max_length: Count | None = None
    truncation_side: Literal["left", "right"] | None = None
    training: Options
    generation: Options = {}

    @property
    def labelled(self) -> bool:
        """Whether answers are labels to choose from, and not text to write."""
        return self.task == "classification"

    @property
    def target(self) -> str:
        """The source column that holds the label or the summary."""
        return str(self.columns.label or self.columns.summary)

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        if (self.generator is None) == (self.path is None):
            raise ValueError("give one source: generator or path")
        if self.generator is not None and not {"train", "test"} <= set(self.rows or {}):
            raise ValueError("a generator needs its row counts: rows: {train: …, test: …}")
        if isinstance(self.path, dict) and "train" not in self.path:
            raise ValueError("path names no train file")
        wanted, other = ("label", "summary")[:: 1 if self.task == "classification" else -1]
        if getattr(self.columns, wanted) is None or getattr(self.columns, other) is not None:
            raise ValueError(f"a {self.task} task has columns: {{text: …, {wanted}: …}}")
        return self

    _training = field_validator("training")(_training_options)
    _generation = field_validator("generation")(_generation_options)


class Template(Settings):
    """Prompt text around `{instruction}`, `{shots}` and `{text}`; a shot has `{completion}` too."""

    prompt: str
    shot: str | None = None

    @field_validator("prompt")
    @classmethod
    def _prompt_fields(cls, value: str) -> str:
        return _placeholders(value, {"text"}, {"instruction", "shots"})

    @field_validator("shot")
    @classmethod
    def _shot_fields(cls, value: str | None) -> str | None:
        return value if value is None else _placeholders(value, {"text", "completion"}, set())


class PromptingMethod(Settings):
    """Ask the untouched model, after `shots` solved examples from the training rows."""

    kind: Literal["prompting"]
    shots: Annotated[int, Field(ge=0)] = 0
    template: Name | None = None
    instruction: str | None = None


class TuningMethod(Settings):
    """What every trained method has."""

    quantization: Literal["nf4", "fp4", "int8"] | Options | None = None
    training: Options = {}

    _training = field_validator("training")(_training_options)


class PeftMethod(TuningMethod):
    """Train what a PEFT configuration adds; `adapter` is that configuration's own keys."""

    kind: Literal["peft"]
    adapter: Options

    @field_validator("adapter")
    @classmethod
    def _adapter_fields(cls, value: Options) -> Options:
        known = library.peft_types()
        peft_type = value.get("peft_type")
        if str(peft_type) not in known:
            raise ValueError(
                f"peft_type: {peft_type!r} is no PEFT method; {suggest(peft_type, known)}"
            )
        faults = _option_faults(value, library.peft_fields(str(peft_type)))
        if faults:
            raise ValueError("\n".join(faults))
        return value


class FullMethod(TuningMethod):
    """Train every weight of the model."""

    kind: Literal["full"]
    quantization: None = None


Method = Annotated[PromptingMethod | PeftMethod | FullMethod, Field(discriminator="kind")]


class Evaluation(Settings):
    """How answers are read from the model; `generation` holds GenerationConfig fields."""

    batch_size: Count = 32
    generation: Options = {}

    _generation = field_validator("generation")(_generation_options)


class Inference(Settings):
    """What is timed: `prompts` test prompts, at each batch size, for the runs of one train size."""

    train_size: TrainSize | None = None
    prompts: Count = 16
    warmup: Annotated[int, Field(ge=1)] = 2
    batch_sizes: Annotated[list[Count], Field(min_length=1)] = [1]
    new_tokens: Count = 32


class Hardware(Settings):
    """The machine's name in the report and its price."""

    name: str = "this machine"
    usd_per_hour: Annotated[float, Field(ge=0)] = 0.0


class Params(Settings):
    """The whole of params.yaml."""

    study: str
    grid: Grid
    models: dict[Name, Model]
    datasets: dict[Name, Dataset]
    templates: dict[Name, Template]
    methods: dict[Name, Method]
    training: Options
    evaluation: Evaluation
    inference: Inference
    hardware: Hardware

    _training = field_validator("training")(_training_options)

    def model(self, name: str) -> Model:
        """The model that `--model` names."""
        return _named(self.models, name, "model")

    def dataset(self, name: str) -> Dataset:
        """The data set that `--dataset` names."""
        return _named(self.datasets, name, "dataset")

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
        """GenerationConfig fields of one data set; greedy unless a parameter says otherwise."""
        return merge({"do_sample": False}, self.evaluation.generation, dataset.generation)


def _named(table: Mapping[str, T], name: str, option: str) -> T:
    if name not in table:
        raise ParameterError([f"--{option}: {name!r} is not defined; {suggest(name, table)}"])
    return table[name]
