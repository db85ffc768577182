"""params.yaml is edited where it must be, and nowhere else."""

import difflib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench.errors import ParameterError
from tunebench.init.params_file import ParamsFile

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
ENTRY = {
    "path": "строки: a.csv",
    "columns": {"text": "a b", "label": "#"},
    "label_names": {"no": "yes", "1": "one"},
    "instruction": "Which? {text}: 'a' \"b\"\nor c.",
    "training": {},
}


def edited(text: str) -> str:
    file = ParamsFile(text)
    file.set(("grid", "datasets"), ["mine"])
    file.set(("datasets", "mine"), ENTRY)
    file.set(("templates", "mine"), {"messages": [{"role": "user", "content": "{text}\n"}]})
    return file.edited()


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_what_is_set_changes(path: Path) -> None:
    old = path.read_text(encoding="utf-8")
    new = edited(old)
    expected = plain(old)
    expected["grid"]["datasets"] = ["mine"]
    expected["datasets"]["mine"] = ENTRY
    expected["templates"]["mine"] = {"messages": [{"role": "user", "content": "{text}\n"}]}
    assert plain(new) == expected
    _, _, *lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    removed = [line for line in lines if line.startswith("-")]
    added = [line[1:] for line in lines if line.startswith("+")]
    assert [line[1:].strip().split(":")[0] for line in removed] == ["datasets"]
    assert len([line for line in added if line]) == 1 + 6 + 2


def test_files_are_found() -> None:
    assert len(FILES) >= 13


@pytest.mark.parametrize(
    ("text", "place", "value", "new"),
    [
        ("a: [x]      # why\n", ("a",), [1, 2.0], "a: [1, 2.0] # why\n"),
        ("a: [x, y, z]  # why\n", ("a",), ["x"], "a: [x]        # why\n"),
        ("a: {b: 1, c: 2}\n", ("a", "b"), 3, "a: {b: 3, c: 2}\n"),
        ("a: {b: 1,\n  c: 2} # c\n", ("a", "d"), {"e": []}, "a: {b: 1,\n  c: 2, d: {e: []}} # c\n"),
        ("a: {}\nb: 1\n", ("a", "c"), "x: y", "a: {c: 'x: y'}\nb: 1\n"),
        ("a:\n  b: 1", ("a", "c"), 2, "a:\n  b: 1\n  c: 2\n"),
        (
            "a:\n    b: 1  # b\n\n# then\nc: 2\n",
            ("a", "d"),
            {"e": 1},
            "a:\n    b: 1  # b\n    d:\n      e: 1\n\n# then\nc: 2\n",
        ),
        (
            "a:\n  b:\n    c: 1 # c\n    d: |\n      x\n  e: 2\n",
            ("a", "b"),
            {"f": 1},
            "a:\n  b:\n    f: 1\n  e: 2\n",
        ),
        ("a:\n  s: |+\n    x\n\nb: 1\n", ("a", "c"), 1, "a:\n  s: |+\n    x\n\n  c: 1\n\nb: 1\n"),
        ("a:\r\n  b: 1\r\nc: 2\r\n", ("a", "d"), 2, "a:\r\n  b: 1\r\n  d: 2\r\nc: 2\r\n"),
        ("\ufeffa: 1\n", ("a",), 2, "\ufeffa: 2\n"),
        ("a: 1   # why\n", ("a",), 1, "a: 1   # why\n"),
    ],
)
def test_values_take_the_place_of_values(
    text: str, place: tuple[str, ...], value: Any, new: str
) -> None:
    file = ParamsFile(text)
    file.set(place, value)
    assert file.edited() == new


def test_an_edit_that_would_change_more_is_refused() -> None:
    file = ParamsFile("a: &x {b: 1}\nc: *x\n")
    file.set(("a", "b"), 2)
    with pytest.raises(ParameterError, match=r"^params.yaml: cannot be edited .* by hand$"):
        file.edited()
