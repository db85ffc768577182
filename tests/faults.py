"""What the tests of params.yaml share: a fault put into it, and what is told of it."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench import config
from tunebench.errors import ParameterError

REMOVED = object()


def edit(params: Any, place: str, value: Any) -> None:
    *way, last = place.split(".", place.count(".") if "../" not in place else 1)
    for key in way:
        params = params[key]
    if value is REMOVED:
        del params[last]
    else:
        params[last] = value


def faults_of(params: Any, folder: Path) -> list[str]:
    path = folder / "params.yaml"
    with path.open("w") as file:
        YAML().dump(params, file)
    try:
        config.load(path)
    except ParameterError as error:
        assert all(line.startswith(f"{path}: ") for line in error.faults)
        return [line.removeprefix(f"{path}: ") for line in error.faults]
    return []


def faults_of_text(text: str, folder: Path) -> list[str]:
    path = folder / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        config.load(path)
    return [line.removeprefix(f"{path}: ") for line in caught.value.faults]
