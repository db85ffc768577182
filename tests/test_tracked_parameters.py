"""DVC stops at a tracked parameter that is missing, after hours of work: so none may be missing."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    ROOT / "params.yaml",
    *sorted((ROOT / "studies").glob("*.yaml")),
    *sorted((ROOT / "tests" / "real").glob("*.yaml")),
]
AXES = {"model": ["models"], "dataset": ["datasets"], "method": ["prompting", "tuning"]}


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_tracked_parameter_is_there(path: Path) -> None:
    params = read(path)
    stages = read(ROOT / "dvc.yaml")["stages"]
    checked = 0
    for stage in stages.values():
        for key in stage.get("params", []):
            for name in names(key, stage.get("matrix", {}), params):
                value: Any = params
                for part in name.split("."):
                    assert part in value, f"{name} is missing"
                    value = value[part]
                checked += 1
    assert checked > 20


def names(key: str, matrix: dict[str, str], params: dict[str, Any]) -> list[str]:
    """A tracked key with each of its axis's names put in."""
    axis = re.search(r"\$\{item\.(\w+)\}", key)
    if axis is None:
        return [key]
    listed = re.fullmatch(r"\$\{(grid|inference\.load_test)\.(\w+)\}", matrix[axis[1]])
    assert listed is not None
    assert listed[2] in AXES[axis[1]]
    chosen = params
    for part in listed[1].split("."):
        chosen = chosen[part]
    return [key.replace(axis[0], name) for name in chosen[listed[2]]]
