"""Data sets and the templates that turn their rows into prompts, as params.yaml describes them."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from tunebench.config.base import Count, Name, Settings, Text, one_of, only_with
from tunebench.config.options import Generation, Training

# keyword arguments of a chat template
Variables = dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], Any]
Split = Literal["train", "validation", "test"]

# placeholders that templates can use with every data set
RESERVED_FIELDS = ("text", "instruction", "labels", "shots", "completion", "id", "target")


def placeholders(text: str) -> list[str]:
    """The names in braces, in order.

    Raises:
        ValueError: for an unmatched brace, or what is more than a name: `{text!r}`, `{text:>9}`.
    """
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"{error}; write a literal brace twice, {{{{ or }}}}") from None
    for _, name, spec, conversion in parts:
        if not str(name).isidentifier() or spec or conversion:
            written = f"{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}"
            raise ValueError(
                f"{{{written}}} is no name; write a name alone, or a literal brace twice,"
                " {{ or }}"
            )
    return [str(name) for _, name, _, _ in parts]


class Columns(Settings):
    """Which of the source's columns hold the text and its answer.

    Any further key is a field that templates can use: `premise: sentence1`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Text]

    text: Text = "text"
    """The column with the text."""
    label: Text | None = None
    """The column with the label; classification needs it."""
    summary: Text | None = None
    """The column with the summary; summarization needs it."""

    @property
    def further(self) -> dict[str, str]:
        """Template field → source column, of the fields that only this data set has."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _no_reserved_name(self) -> Columns:
        for name in self.further:
            if name in RESERVED_FIELDS:
                raise ValueError(f"{name}: has a meaning of its own in templates; rename it")
            if not name.isidentifier():
                raise ValueError(f"{name}: is no name; use letters, digits and _ only")
        return self

    @model_validator(mode="after")
    def _answer_apart(self) -> Columns:
        for key in ("label", "summary"):
            answer = getattr(self, key)
            for name, column in {"text": self.text, **self.further}.items():
                if answer is not None and column == answer:
                    raise ValueError(
                        f"{name}: {column!r} is the column of the {key} too, so that prompts would"
                        " show the answer; name another one"
                    )
        return self


class Dataset(Settings):
    """Rows, the task they pose, and how they become prompts.

    Exactly one of `path`, `hub` and `generator` is given.
    """

    generator: Text | None = None
    """A Python module with `generate(rows, *, seed)`."""
    path: Text | dict[Split, Text] | None = None
    """A CSV, TSV, JSON, JSON Lines or Parquet file, a folder of them, or a file for each split."""
    hub: Text | None = None
    """A data set repository on the Hugging Face Hub: `owner/name`."""
    config: Text | None = None
    """The repository's config (subset), where it has several."""
    split: dict[Split, Text] | None = None
    """Which of the repository's splits, as `{train: "train[:5000]", test: test}`."""
    revision: Text | None = None
    """Branch, tag or commit of the repository; `main` where it is left out."""
    encoding: Text | None = None
    """The encoding of local text files, as Python names it: `cp1252`; UTF-8 where left out."""
    quoting: Literal["auto", "minimal", "none"] = "auto"
    """Whether quotes in CSV and TSV enclose fields (`minimal`) or are text (`none`)."""
    rows: dict[Split, Count] | None = None
    """How many rows a generator makes for each split."""
    task: Literal["classification", "summarization"]
    """Choose a label, or write a text."""
    columns: Columns
    """Which columns hold what."""
    label_names: dict[int | str, Text] | list[Text] | None = None
    """The name of each label in the file; a list names 0, 1, …"""
    labels: Literal["as_written"] | None = None
    """`as_written` keeps labels apart that only read alike, as `Spam` and `spam`."""
    drop_empty: bool = False
    """Leave out rows with an empty text or answer, which are an error otherwise."""
    drop_test_duplicates: bool = False
    """Leave out training rows that stand in the test rows too."""
    licence: str | None = None
    """The licence of the rows, for the data card; the Hub's own where it is left out."""
    template: Name
    """A name under `templates`."""
    instruction: str = ""
    """What `{instruction}` in the template stands for."""
    test_rows: Count | None = None
    """How many test rows are asked, a stratified sample; all where left out."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The stratified part of the rows that is kept for testing where there is no test file."""
    validation_rows: Annotated[int, Field(ge=0)] = 0
    """How many rows choose an epoch or a setting; from training rows where there is no file."""
    max_length: Count | None = None
    """The most tokens of prompt and answer together; the model's context where left out."""
    truncation_side: Literal["left", "right"] | None = None
    """From which side a text that does not fit is cut; the tokenizer's own where left out."""
    training: Training
    """Training settings of this data set; they override `training`. `{}` changes none."""
    generation: Generation = {}
    """Generation settings of this data set; they override `evaluation.generation`."""

    @property
    def labelled(self) -> bool:
        """Whether answers are labels instead of text."""
        return self.task == "classification"

    @property
    def target(self) -> str:
        """The source column with the label or the summary."""
        return str(self.columns.label or self.columns.summary)

    @property
    def source_columns(self) -> set[str]:
        """Every column of the source that is read."""
        return {self.columns.text, self.target, *self.columns.further.values()}

    @property
    def origin(self) -> tuple[object, ...]:
        """The source of its rows, equal for two data sets with the same source."""
        return self.generator, self.path, self.hub, self.config

    @model_validator(mode="after")
    def _one_source(self) -> Dataset:
        one_of(self, "generator", "path", "hub")
        only_with(self, "hub", "config", "split", "revision")
        only_with(self, "path", "encoding")
        if self.generator is not None and self.quoting != "auto":
            raise ValueError("quoting: goes with path or hub only; remove it")
        if self.generator is not None and not {"train", "test"} <= set(self.rows or {}):
            raise ValueError("a generator needs its row counts: rows: {train: …, test: …}")
        only_with(self, "generator", "rows")
        for key in ("path", "split"):
            by_split = getattr(self, key)
            if isinstance(by_split, dict) and "train" not in by_split:
                raise ValueError(f"{key}: names no train rows; write {key}: {{train: …, test: …}}")
        return self

    @model_validator(mode="after")
    def _one_answer(self) -> Dataset:
        required, excluded = ("label", "summary")[:: 1 if self.labelled else -1]
        if getattr(self.columns, required) is None or getattr(self.columns, excluded) is not None:
            raise ValueError(f"a {self.task} task has columns: {{text: …, {required}: …}}")
        for key in ("label_names", "labels"):
            if getattr(self, key) is not None and not self.labelled:
                raise ValueError(f"{key}: a {self.task} task has no labels; remove it")
        return self


class Message(Settings):
    """One turn of a chat, its content a pattern like a template's `prompt`."""

    role: Literal["system", "user", "assistant"]
    """Whose turn it is; the last is the user's."""
    content: str
    """The pattern."""


class Template(Settings):
    """How a row is shown: text around `{text}`, or turns for the tokenizer's own chat template.

    Exactly one of `prompt` and `messages` is given. Patterns may hold `{text}`, `{instruction}`,
    `{labels}` (the names of all labels) and the further columns of the data set.
    """

    prompt: str | None = None
    """Text around a row, with `{text}`; solved examples stand at `{shots}`."""
    shot: str | None = None
    """How each solved example is shown in a `prompt`, with `{text}` and `{completion}`."""
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    """Turns for the tokenizer's chat template; solved examples become earlier turns."""
    variables: Variables = {}
    """Variables that are handed to the chat template, as `enable_thinking: false`."""
    completion: str = "{completion}"
    """What the model learns to write: text around `{completion}`."""

    @property
    def fields(self) -> set[str]:
        """All placeholders in it."""
        return {name for _, pattern, _ in self._places() for name in placeholders(pattern)}

    @property
    def takes_shots(self) -> bool:
        """Whether it can show solved examples."""
        return self.messages is not None or bool(
            self.shot and "shots" in placeholders(str(self.prompt))
        )

    @model_validator(mode="after")
    def _one_form(self) -> Template:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give one form: prompt or messages")
        only_with(self, "prompt", "shot")
        return self

    @model_validator(mode="after")
    def _placeholders(self) -> Template:
        if self.messages is not None and self.messages[-1].role != "user":
            raise ValueError("messages: the last turn must be the user's; the answer follows it")
        for place, pattern, needed in self._places():
            try:
                names = placeholders(pattern)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            for name in sorted(needed - set(names)):
                raise ValueError(f"{place}: {{{name}}} is missing")
            if "completion" not in needed and "completion" in names:
                raise ValueError(f"{place}: {{completion}} would show the answer; remove it")
        if placeholders(self.completion) != ["completion"]:
            raise ValueError("completion: write {completion} in it, once, and no other placeholder")
        return self

    def _places(self) -> Iterator[tuple[str, str, set[str]]]:
        """Each pattern's place, the pattern, and the placeholders that it needs."""
        if self.prompt is not None:
            yield "prompt", self.prompt, {"text"}
        if self.shot is not None:
            yield "shot", self.shot, {"text", "completion"}
        turns = self.messages or []
        for turn, message in enumerate(turns):
            needed = {"text"} if turn == len(turns) - 1 else set()
            yield f"messages[{turn}].content", message.content, needed
        yield "completion", self.completion, {"completion"}
