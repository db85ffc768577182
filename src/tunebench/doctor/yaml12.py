"""YAML as DVC reads it, by libyaml: dvc.lock in 0.1 s, where ruamel.yaml takes 10 s for each MB.

PyYAML follows YAML 1.1, in which `4e-3` is text and `on` is true; these are the rules of 1.2's core
schema, yaml.org/spec/1.2.2/#1032-tag-resolution.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

RULES = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9][0-9_]*",
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    "null": r"null|Null|NULL|~|",
    "merge": r"<<",  # of YAML 1.1 alone, but DVC knows it, and studies use it
}


def read(path: Path) -> Any:
    """The content of a YAML file; None if it is not there or damaged."""
    import yaml

    try:
        return yaml.load(path.read_bytes(), Loader=_loader())
    except (OSError, yaml.YAMLError):
        return None


@cache
def _loader() -> type[Any]:
    import yaml

    class Loader(yaml.CSafeLoader):  # type: ignore[misc]
        """With no rule of YAML 1.1."""

        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as PyYAML declares it

    for tag, pattern in RULES.items():  # in this order: what an int is, is no float
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None
        )
    return Loader
