"""The base of every section of params.yaml: frozen settings, and types of fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints

Name = Annotated[str, Field(min_length=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Usd = Annotated[float, Field(ge=0, le=1e9)]


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


class Settings(BaseModel):
    """Base of every section: frozen, no unknown key, no silent conversion.

    The text below a field is its description, from which `reference` makes docs/params.md.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def one_of(section: BaseModel, *keys: str) -> None:
    """Refuse a section that gives none, or more than one, of these keys."""
    if sum(getattr(section, key) is not None for key in keys) != 1:
        raise ValueError(f"give one source: {', '.join(keys[:-1])} or {keys[-1]}")


def only_with(section: BaseModel, source: str, *keys: str) -> None:
    """Refuse keys that have no meaning without `source`."""
    for key in keys:
        if getattr(section, key) is not None and getattr(section, source) is None:
            raise ValueError(f"{key}: goes with {source} only; remove it")
