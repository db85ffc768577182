"""Which column is the text and which its answer, and why: `tunebench init`."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tunebench.errors import ParameterError, SourceError
from tunebench.init import columns, survey
from tunebench.init.answers import Answers
from tunebench.init.column import Column, is_empty
from tunebench.init.survey import Survey

ROWS = 60


def surveyed(**made: Callable[[int], Any]) -> Survey:
    cells = {name: [cell(row) for row in range(ROWS)] for name, cell in made.items()}
    found = {
        name: Column(name, [cell for cell in column if not is_empty(cell)], ROWS)
        for name, column in cells.items()
    }
    return Survey({"train": []}, found, ROWS, ROWS, partial=False)


def choose(seen: Survey, **options: Any) -> columns.Roles:
    return columns.choose(seen, Answers("rows.csv", **options))


def sentence(row: int) -> str:
    return f"the parcel of order number {row} has not come yet"


def odd(row: int) -> bool:
    return row % 2 == 1


def word(row: int) -> str:
    return ("billing", "sales", "support")[row % 3]


@pytest.mark.parametrize(
    ("made", "roles"),
    [
        ({"message": sentence, "queue": word}, ("classification", "message", "queue")),
        ({"id": int, "a": sentence, "b": word}, ("classification", "a", "b")),
        ({"Label": lambda row: row % 2, "Text": sentence}, ("classification", "Text", "Label")),
        ({"n": int, "comment": sentence, "isSpam": odd}, ("classification", "comment", "isSpam")),
        (
            {"本文": lambda row: f"配送が早くて助かりました{row}", "種類": word},
            ("classification", "本文", "種類"),
        ),
        (
            {"id": str, "dialogue": sentence, "summary": lambda row: f"order {row} is late"},
            ("summarization", "dialogue", "summary"),
        ),
        (
            {"short": lambda row: f"order {row} is late", "long": sentence},
            ("summarization", "long", "short"),
        ),
        (
            {"text": sentence, "label": lambda row: row % 3, "label_text": word},
            ("classification", "text", "label_text"),
        ),
        (
            {"text": sentence, "code": lambda row: row % 3, "kind": word},
            ("classification", "text", "kind"),
        ),
        (
            {"text": sentence, "z": word, "user_id": lambda row: row % 4},
            ("classification", "text", "z"),
        ),
    ],
)
def test_columns_are_found(
    made: Mapping[str, Callable[[int], Any]], roles: tuple[str, str, str]
) -> None:
    found = choose(surveyed(**made))
    assert (found.task, found.text.column.name, found.target.column.name) == roles


def test_the_other_candidates_are_named() -> None:
    seen = surveyed(
        body=sentence,
        channel=word,
        priority=lambda row: ("low", "high")[row % 2],
        price=random_price,
    )
    found = choose(seen)
    assert found.target.column.name == "priority"
    assert found.target.reason == "the last column of few different text values"
    assert [column.name for column in found.target.others] == ["channel"]
    assert choose(seen, label="channel").columns == {"text": "body", "label": "channel"}


def random_price(row: int) -> float:
    return random.Random(row).random()


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ({"n": int, "label": word}, {}, "no column holds texts: 'n' holds 60 different values"),
        ({"text": sentence, "label": lambda row: "same"}, {}, "has one label, 'same', in all rows"),
        ({"text": sentence, "label": str}, {}, "'label' has 60 different values in 60 rows"),
        ({"text": sentence, "label": lambda row: [1, "a"][row % 2]}, {}, "values of several types"),
        ({"text": lambda row: {"a": row}, "label": word}, {}, "'text' holds mappings, whose parts"),
        ({"text": sentence, "x": random_price}, {}, "column 'x' has 60 different values"),
        ({"text": sentence}, {}, "no column could be the label: there is no other column"),
        ({"text": sentence, "label": word}, {"label": "lable"}, "did you mean 'label'?"),
        ({"text": sentence, "label": word}, {"task": "ner"}, "--task: 'ner' is unknown"),
        ({"text": sentence, "label": word}, {"task": "summarization"}, "could be the summary"),
        ({"text": sentence, "label": word}, {"label": "label", "summary": "text"}, "give one"),
        ({"text": sentence, "billing": word}, {}, "its first line is a row"),
    ],
)
def test_what_cannot_be_is_refused(
    made: Mapping[str, Callable[[int], Any]], options: dict[str, str], message: str
) -> None:
    seen = surveyed(**made)
    seen.files["train"].append("rows.csv")  # type: ignore[arg-type]
    with pytest.raises((SourceError, ParameterError)) as raised:
        choose(seen, **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.0", "-3"], "integer"),
        (["1.5", "2e-3"], "number"),
        (["2026-01-02", "2026-01-02 10:00"], "date"),
        (["True", "false"], "true/false"),
        ([True, False], "true/false"),
        (["a", "1"], "text"),
        ([{"a": 1}], "mapping"),
        (["a", 1], "mixed"),
        ([], "empty"),
    ],
)
def test_types_of_columns(cells: list[Any], kind: str) -> None:
    assert Column("x", cells, 3).kind == kind


def test_a_sample_is_uniform_and_repeatable() -> None:
    count, sample = survey.reservoir(range(10_000), 100)
    assert count == 10_000
    assert len(set(sample)) == 100
    assert 4_000 < sum(sample) / 100 < 6_000  # as 5,000 ± 3 standard errors
    assert survey.reservoir(range(10_000), 100) == (count, sample)
