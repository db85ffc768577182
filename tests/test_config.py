"""params.yaml is read whole, and every fault of it is told at once."""

from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of, faults_of_text
from ruamel.yaml import YAML

from tunebench import config
from tunebench.errors import ParameterError, suggest

ROOT = Path(__file__).parents[1]


def test_valid_file_has_no_fault(valid: dict[str, Any], tmp_path: Path) -> None:
    assert faults_of(valid, tmp_path) == []


def test_all_faults_are_told_at_once(valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "grid.tuning", ["lroa"])
    edit(valid, "training", {"seed": 1, "learning_rte": 1.0, "bf16": "yes", "loss_on": "x"})
    edit(valid, "methods.lora.adapter", {"peft_type": "LORA", "rnk": 4, "r": "four"})
    edit(valid, "models.tiny.dtype", "int4")
    edit(valid, "datasets.reviews.template", "long")
    assert [line.split(": ")[0] for line in faults_of(valid, tmp_path)] == [
        "models.tiny.dtype",
        "methods.lora.adapter.rnk",
        "methods.lora.adapter.r",
        "training.seed",
        "training.loss_on",
        "training.learning_rte",
        "training.bf16",
        "grid.tuning[0]",
        "datasets.reviews.template",
    ]


def test_scientific_notation_is_a_number(valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "training.learning_rate", "RATE")
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML().dump(valid, file)
    path.write_text(path.read_text().replace("RATE", "2e-4"))
    assert config.load(path).training["learning_rate"] == 0.0002


def test_yaml_faults_name_the_line(tmp_path: Path) -> None:
    assert faults_of_text("study: a\nstudy: b\n", tmp_path)[0].startswith(
        'line 2: found duplicate key "study" with value "b"'
    )
    assert faults_of_text("study: [a\ngrid: 1\n", tmp_path)[0].startswith("line 2: ")
    assert faults_of_text("", tmp_path) == [
        "the file: None should be a valid dictionary or instance of Params"
    ]


def test_duplicate_key_in_a_section_is_refused(tmp_path: Path) -> None:
    faults = faults_of_text("methods:\n  lora: {kind: full}\n  lora: {kind: full}\n", tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith('line 3: found duplicate key "lora"')


def test_file_that_is_not_there_or_not_utf8(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(ParameterError, match=r"none\.yaml: no such file; run from the repository"):
        config.load(missing)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("study: café".encode("latin-1"))
    with pytest.raises(ParameterError, match=r"latin\.yaml: byte 10 is not UTF-8"):
        config.load(latin)


def test_option_that_names_nothing(project: Any) -> None:
    params = config.load()
    with pytest.raises(ParameterError, match="--model: 'tny' is not defined; did you mean 'tiny'"):
        params.model("tny")
    with pytest.raises(ParameterError, match="--method: 'zero_shot' is a prompting method"):
        params.tuning_method("zero_shot")
    with pytest.raises(ParameterError, match="--method: 'lora' is tuned"):
        params.prompting_method("lora")


def test_suggestion_is_the_nearest_or_all() -> None:
    assert suggest("qlra", ["qlora", "full"]) == "did you mean 'qlora'?"
    assert suggest("x", ["qlora", "full"]) == "choose from: full, qlora"
    assert suggest("x", []) == "there are none"


def test_repository_files_are_valid() -> None:
    files = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
    assert len(files) >= 1
    for path in files:
        assert config.load(path).study
