"""Names that are used but not defined, and settings that do not go together."""

from pathlib import Path
from typing import Any

import pytest
from faults import REMOVED, edit, faults_of

FAULTS: list[tuple[str, Any, str]] = [
    (
        "grid.tuning",
        ["lroa"],
        "grid.tuning[0]: 'lroa' is not defined under methods; did you mean 'lora'?",
    ),
    (
        "grid.tuning",
        ["zero_shot"],
        "grid.tuning[0]: 'zero_shot' is a prompting method; name it under grid.prompting",
    ),
    (
        "grid.prompting",
        ["lora"],
        "grid.prompting[0]: 'lora' is a peft method; name it under grid.tuning",
    ),
    (
        "grid.baselines",
        ["lora"],
        "grid.baselines[0]: 'lora' is a peft method; name it under grid.tuning",
    ),
    (
        "grid.baselines",
        ["linaer"],
        "grid.baselines[0]: 'linaer' is not defined under methods;"
        " choose from: few_shot, full, lora, zero_shot",
    ),
    (
        "models.baseline",
        {"path": "model"},
        "models.baseline: stands for methods without a model in paths; rename it",
    ),
    (
        "grid.models",
        ["big"],
        "grid.models[0]: 'big' is not defined under models; choose from: tiny",
    ),
    ("grid.train_sizes", [0.5, 1.0, 0.5], "grid.train_sizes[2]: 0.5 stands twice"),
    (
        "inference.train_size",
        0.1,
        "inference.train_size: 0.1 is none of grid.train_sizes; choose from: 0.5, 1.0",
    ),
    (
        "inference.train_size",
        1,
        "inference.train_size: 1 is none of grid.train_sizes; choose from: 0.5, 1.0",
    ),
    (
        "evaluation.forgetting",
        {"dataset": "revews", "rows": 0},
        "evaluation.forgetting.dataset: 'revews' is not defined under datasets;"
        " did you mean 'reviews'?",
    ),
    (
        "datasets.forgetting_text",
        {},
        "datasets.forgetting_text: is the name of a file beside its own; rename it",
    ),
    (
        "datasets.reviews.columns.lable",
        "x",
        "datasets.reviews.columns.lable: no template shows it; did you mean 'label'?",
    ),
    (
        "datasets.reviews.template",
        "shrt",
        "datasets.reviews.template: 'shrt' is not defined under templates; did you mean 'short'?",
    ),
    (
        "templates.short.prompt",
        "{shots}{text}{txt}",
        "templates.short: {txt} is no field of the rows of 'reviews';"
        " name its column under datasets.reviews.columns, or did you mean 'text'?",
    ),
    (
        "templates.short.shot",
        REMOVED,
        "templates.short: 'few_shot' puts examples before the text,"
        " which needs a {shots} in prompt and a shot",
    ),
    (
        "methods.lora-8",
        {"kind": "full"},
        "methods.lora-8: names become paths and keys; use letters, digits and _ only, 64 at most",
    ),
    (
        "models",
        {"llama3.1": {"path": "model"}, "tiny": {"path": "model"}},
        "models.llama3.1: names become paths and keys; use letters, digits and _ only, 64 at most",
    ),
    (
        "methods.../up",
        {"kind": "full"},
        "methods.../up: names become paths and keys; use letters, digits and _ only, 64 at most",
    ),
    (
        "methods.test",
        {"kind": "full"},
        "methods.test: is the name of the test prompts' file; rename it",
    ),
    (
        "models.reviews",
        {"path": "model"},
        "datasets.reviews: a model has this name too; rename one of them",
    ),
    (
        "methods.lora.search",
        {"learning_rate": [1e-3]},
        "methods.lora.search: needs rows to choose on: set datasets.reviews.validation_rows",
    ),
    (
        "evaluation.select",
        "best_test",
        "evaluation.select: best_test needs every epoch of 'lora' on 'reviews' kept: set"
        " training.save_strategy: epoch",
    ),
    (
        "evaluation.select",
        "best_validation",
        "evaluation.select: best_validation needs rows to choose on: set"
        " datasets.reviews.validation_rows",
    ),
]


@pytest.mark.parametrize(("place", "value", "expected"), FAULTS)
def test_fault_is_named(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    assert expected in faults_of(valid, tmp_path)


def test_name_of_a_file_beside_its_own(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["datasets"]["published"] = valid["datasets"]["reviews"]
    assert faults_of(valid, tmp_path) == [
        "datasets.published: is the name of a file beside its own; rename it"
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"load_test": {"tuning": ["lroa"], "prompting": []}, "server": "own"},
            "inference.load_test.tuning[0]: 'lroa' is none of grid.tuning; did you mean 'lora'?",
        ),
        (
            {"load_test": {"tuning": [], "prompting": ["lora"]}, "server": "own"},
            "inference.load_test.prompting[0]: 'lora' is none of grid.prompting;"
            " choose from: few_shot, zero_shot",
        ),
        (
            {"server": "onw"},
            "inference.server: 'onw' is not defined under inference.servers; did you mean 'own'?",
        ),
        (
            {"servers": {"own": {"comand": "x"}}, "server": "own"},
            "inference.servers.own.comand: unknown key; did you mean 'command'?",
        ),
    ],
)
def test_load_tests_of_what_is_not_there(
    given: dict[str, Any], said: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    servers = {"servers": {"own": {"command": "serve {model} {port}"}}}
    valid["inference"] |= servers | given
    assert said in faults_of(valid, tmp_path)
