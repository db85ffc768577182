"""The sections of params.yaml: keys and values that each takes, and the names of others."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import REMOVED, edit, faults_of

FAULTS: list[tuple[str, Any, str]] = [
    ("studdy", "x", "studdy: unknown key; did you mean 'study'?"),
    ("study", REMOVED, "study: is missing"),
    ("study", 5, "study: 5 should be a valid string"),
    ("grid", REMOVED, "grid: is missing"),
    ("grid.tunning", ["lora"], "grid.tunning: unknown key; did you mean 'tuning'?"),
    ("grid.models", [], "grid.models: is empty; name at least one"),
    ("grid.datasets", [], "grid.datasets: is empty; name at least one"),
    ("grid.datasets", "reviews", "grid.datasets: 'reviews' should be a valid list"),
    ("grid.seeds", [], "grid: tuning methods need at least one entry in train_sizes and in seeds"),
    ("grid.seeds", [-1], "grid.seeds[0]: -1 should be greater than or equal to 0"),
    *(
        (
            "grid.train_sizes",
            [1.0, size],
            f"grid.train_sizes[1]: {size!r} is no train size;"
            " write a fraction up to 1.0, or a number of rows",
        )
        for size in (-5, 0, 0.0, 1.5, True, "all")
    ),
    (
        "evaluation.forgetting",
        {"dataset": "reviews", "rows": 0},
        "evaluation.forgetting.rows: 0 should be greater than or equal to 1",
    ),
    (
        "evaluation.forgetting",
        {"dataset": "reviews", "row": 5},
        "evaluation.forgetting.row: unknown key; did you mean 'rows'?",
    ),
    ("evaluation.forgetting", {"rows": 5}, "evaluation.forgetting.dataset: is missing"),
    ("inference.batch_sizes", [], "inference.batch_sizes: is empty; name at least one"),
    (
        "inference.batch_sizes",
        [0],
        "inference.batch_sizes[0]: 0 should be greater than or equal to 1",
    ),
    ("inference.repeats", 0, "inference.repeats: 0 should be greater than or equal to 1"),
    ("hardware.usd_per_hour", -1, "hardware.usd_per_hour: -1 should be greater than or equal to 0"),
    ("inference.demand_rps", 0, "inference.demand_rps: 0 should be greater than 0"),
    (
        "inference.demand_margin",
        -0.1,
        "inference.demand_margin: -0.1 should be greater than or equal to 0",
    ),
    ("cost", {}, "cost.usd_per_label: is missing"),
    ("cost", {"usd_per_row": 1.0}, "cost.usd_per_row: unknown key; did you mean 'usd_per_label'?"),
    (
        "cost",
        {"usd_per_label": -1},
        "cost.usd_per_label: -1 should be greater than or equal to 0",
    ),
    ("models.tiny.path", REMOVED, "models.tiny: give one source: path or hub"),
    (
        "models.tiny.dtype",
        "float",
        "models.tiny.dtype: 'float' is unknown; did you mean 'float32'?",
    ),
    (
        "datasets.reviews.training",
        REMOVED,
        "datasets.reviews.training: is missing; write `training: {}` for the defaults",
    ),
    (
        "datasets.reviews.task",
        "classify",
        "datasets.reviews.task: 'classify' is unknown; did you mean 'classification'?",
    ),
    (
        "datasets.reviews.columns",
        {"text": "text"},
        "datasets.reviews: a classification task has columns: {text: …, label: …}",
    ),
    (
        "datasets.reviews.generator",
        "tunebench.demo.reviews",
        "datasets.reviews: give one source: generator, path or hub",
    ),
    (
        "datasets.reviews.path",
        {"test": "x"},
        "datasets.reviews.path: names no train rows; write path: {train: …, test: …}",
    ),
    (
        "datasets.reviews.rows",
        {"train": -3},
        "datasets.reviews.rows.train: -3 should be greater than or equal to 1",
    ),
    (
        "datasets.reviews.test_rows",
        0,
        "datasets.reviews.test_rows: 0 should be greater than or equal to 1",
    ),
    (
        "datasets.reviews.test_fraction",
        1.0,
        "datasets.reviews.test_fraction: 1.0 should be less than 1",
    ),
    (
        "templates.short.prompt",
        "{shots}",
        "templates.short.prompt: {text} is missing",
    ),
    (
        "templates.short.prompt",
        "{shots}{text} {",
        "templates.short.prompt: Single '{' encountered in format string;"
        " write a literal brace twice, {{ or }}",
    ),
    ("methods.lora.kind", "pfet", "methods.lora.kind: 'pfet' is unknown; did you mean 'peft'?"),
    (
        "methods.lora.kind",
        REMOVED,
        "methods.lora.kind: is missing; choose from: full, lead, linear, majority, peft, prompting",
    ),
    (
        "methods.lora.quantisation",
        "nf4",
        "methods.lora.quantisation: unknown key; did you mean 'quantization'?",
    ),
    ("methods.full.quantization", "nf4", "methods.full.quantization: 'nf4' should be None"),
    ("templates.short.completion", "", "templates.short.completion: {completion} is missing"),
    (
        "evaluation.select",
        "best",
        "evaluation.select: 'best' is unknown; did you mean 'best_test'?",
    ),
]


@pytest.mark.parametrize(("place", "value", "expected"), FAULTS)
def test_fault_is_named(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    assert expected in faults_of(valid, tmp_path)


def places(node: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield way
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield from places(child, (*way, key))


@pytest.mark.parametrize("value", [5, [[]], {"x": None}], ids=repr)
def test_wrong_type_anywhere_is_a_fault_and_no_crash(
    value: Any, valid: dict[str, Any], tmp_path: Path
) -> None:
    checked = refused = 0
    for way in places(valid):
        params: Any = {"file": copy.deepcopy(valid)}
        *outer, last = ("file", *way)
        node = params
        for key in outer:
            node = node[key]
        node[last] = value
        refused += bool(faults_of(params["file"], tmp_path))
        checked += 1
    assert checked == 76
    assert refused > checked / 2
