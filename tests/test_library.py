"""Names read from the libraries' source are the ones that the imported classes have."""

import ast
import dataclasses

import pytest

from tunebench.config import library


def names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_training_fields() -> None:
    from transformers import TrainingArguments

    assert set(library.training_fields()) == names(TrainingArguments)


def test_generation_fields() -> None:
    from transformers import GenerationConfig

    found = library.generation_fields()
    known = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    assert found == known
    assert len(found) >= 40


def test_peft_types_and_their_fields() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    real = {str(kind.value): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    assert library.peft_types() == set(real)
    assert len(real) >= 25
    for kind, cls in real.items():
        assert set(library.peft_fields(kind)) == names(cls), kind


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("float", 2e-4, True),
        ("float", 2, True),
        ("float", "2e-4", False),
        ("float", True, False),
        ("int", 1.5, False),
        ("int | None", None, True),
        ("Optional[int]", None, True),
        ("int", None, False),
        ("bool", "yes", False),
        ("str", 5, False),
        ("dict | str | None", {"a": 1}, True),
        ("list[str] | str", ["a"], True),
        ("SaveStrategy | str", 5, True),
        ("Literal['a']", "b", True),
    ],
)
def test_accepts(annotation: str, value: object, fits: bool) -> None:
    parsed = ast.parse(annotation, mode="eval").body
    assert library.accepts(parsed, value) is fits
