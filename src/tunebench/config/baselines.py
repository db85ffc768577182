"""Methods that need no language model, as params.yaml describes them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from tunebench.config.base import Count, Settings

Task = Literal["classification", "summarization"]
NgramRange = list[Count]


class BaselineMethod(Settings):
    """What every method has that learns from the training rows without a model of the grid.

    It runs on the data sets of its `task`; for others it has no runs.
    """

    task: ClassVar[Task]

    kind: str
    """What the method does."""


class MajorityMethod(BaselineMethod):
    """Always answer the label that most training rows have."""

    task = "classification"

    kind: Literal["majority"]
    """What the method does: it counts."""


class LinearMethod(BaselineMethod):
    """TF-IDF of words and characters, and logistic regression, by scikit-learn.

    The keys are named as those of `TfidfVectorizer` and `LogisticRegression`.
    """

    task = "classification"

    kind: Literal["linear"]
    """What the method does: it weighs words and characters."""
    C: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [1.0, 10.0, 100.0]
    """Inverses of the regularization's strength; cross-validation on the training rows chooses
    one."""
    ngram_range: NgramRange = [1, 2]
    """The least and the most words of a feature, `[1, 2]` for words and pairs."""
    char_ngram_range: NgramRange = [1, 4]
    """The least and the most characters of a feature, within words (`char_wb`)."""
    min_df: Count | Annotated[float, Field(ge=0, lt=1)] | None = None
    """Features of fewer training texts are left out: an integer is a number of texts, a float a
    fraction of them. Where it is left out itself, those of a single text, from 200 texts on."""
    max_features: Count | None = None
    """Only so many of the commonest features of words, and of characters; all where left out."""
    sublinear_tf: bool = True
    """Whether a feature that occurs n times in a text counts 1 + log n, instead of n."""

    @field_validator("C", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        """Integers are numbers too, which strict settings would refuse within a list."""
        if isinstance(value, list):
            return [float(each) if type(each) is int else each for each in value]
        return value

    @field_validator("ngram_range", "char_ngram_range")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        if len(value) != 2 or value[0] > value[1]:
            raise ValueError(f"{value} is no range; write two numbers, the smaller one first")
        return value


class LeadMethod(BaselineMethod):
    """Answer with the first sentences of the text."""

    task = "summarization"

    kind: Literal["lead"]
    """What the method does: it cuts the text after some sentences."""
    sentences: Annotated[list[Count], Field(min_length=1)] = [1, 2, 3, 5]
    """How many sentences, or turns of a dialogue; the number with the highest ROUGE-1 on validation
    rows is chosen, on training rows where there are none."""


# kind → its settings
BASELINES: dict[str, type[BaselineMethod]] = {
    "majority": MajorityMethod,
    "linear": LinearMethod,
    "lead": LeadMethod,
}
