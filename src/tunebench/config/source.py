"""What the source of an installed library says, read without importing it.

`check` runs at every `dvc repro` and must answer within a second; importing the Trainer takes
five. Files are parsed once for each process, and only those that a parameter file asks about.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

Annotations = Mapping[str, ast.expr | None]

# whose imports of each other are followed to where a class stands
FOLLOWED = ("accelerate", "peft", "transformers")


@cache
def folder(package: str) -> Path:
    """Where an installed package lies."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0])


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def classes(path: Path) -> dict[str, ast.ClassDef]:
    """A file's own classes by name."""
    return {node.name: node for node in tree(path).body if isinstance(node, ast.ClassDef)}


def function(body: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef:
    """A function of a module, or a method of a class."""
    return next(
        node for node in body.body if isinstance(node, ast.FunctionDef) and node.name == name
    )


def find(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class as a file knows it, followed through imports to where it stands."""
    if name in classes(path):
        return path, classes(path)[name]
    for node in ast.walk(tree(path)):  # some imports stand behind a condition
        if not (isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}):
            continue
        parts = (node.module or "").split(".")
        if not node.level and parts[0] not in FOLLOWED:
            continue
        base = path.parents[node.level - 1] if node.level else folder(parts[0]).parent
        module = base.joinpath(*parts)
        return find(module / "__init__.py" if module.is_dir() else Path(f"{module}.py"), name)
    return None


def alias(path: Path, name: str) -> ast.expr | None:
    """What a file's own `Name = …` stands for."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and _is_named(node.targets[0], (name,)):
            return node.value
    return None


def dataclass_fields(cls: ast.ClassDef) -> dict[str, ast.expr]:
    """A dataclass's own fields with their annotations, without those that its maker cannot give."""
    return {
        node.target.id: node.annotation
        for node in cls.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not _is_filled_later(node.value)
    }


def _is_filled_later(default: ast.expr | None) -> bool:
    given = {word.arg: word.value for word in getattr(default, "keywords", ())}
    init = given.get("init")
    return isinstance(init, ast.Constant) and init.value is False


def parameters(made: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """A function's parameters with their annotations, or else the types of their defaults."""
    given = [*made.args.posonlyargs, *made.args.args]
    missing: list[ast.expr | None] = [None] * (len(given) - len(made.args.defaults))
    defaults = [*missing, *made.args.defaults, *made.args.kw_defaults]
    found = {}
    for argument, default in zip([*given, *made.args.kwonlyargs], defaults, strict=True):
        annotation = argument.annotation
        if annotation is None and isinstance(default, ast.Constant) and default.value is not None:
            annotation = ast.Name(type(default.value).__name__)
        found[argument.arg] = annotation
    return found


def required(made: ast.FunctionDef) -> list[str]:
    """The parameters without a default."""
    given = [argument.arg for argument in made.args.args]
    return given[: len(given) - len(made.args.defaults)]


def members(cls: ast.ClassDef) -> list[str]:
    """The strings that an enumeration names."""
    return [
        node.value.value
        for node in cls.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


# `name (`type`, *optional*, …):` as transformers writes its parameters, marks in the type or not
_DOCUMENTED = re.compile(r"^ {8}(\w+):? *\((.+)\)+:\s*\n((?:(?: {9,}.*| *)\n)*)", re.MULTILINE)
_TYPE = re.compile(r",\s*\*|,\s*default|,\s*`?optional")


@cache
def _documented(path: Path, name: str) -> dict[str, tuple[ast.expr | None, str]]:
    text = ast.get_docstring(classes(path)[name], clean=False) or ""
    return {
        parameter: (_parsed(_TYPE.split(given)[0]), described)
        for parameter, given, described in _DOCUMENTED.findall(text + "\n")
    }


def documented_types(path: Path, name: str) -> dict[str, ast.expr | None]:
    """The parameters that a class's docstring tells, with their types."""
    return {key: annotation for key, (annotation, _) in _documented(path, name).items()}


def documented_words(path: Path, name: str, parameter: str) -> list[str]:
    """The strings in double quotes that a class's docstring names for a parameter."""
    _, described = _documented(path, name).get(parameter, (None, ""))
    return list(dict.fromkeys(re.findall(r'"(\w+)"', described)))


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.replace("`", "").replace(" or ", " | "), mode="eval").body
    except SyntaxError:
        return None


def strings_in(node: ast.AST) -> Iterator[str]:
    """Every string that stands in a piece of source."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def keys_read(node: ast.AST, *mappings: str) -> set[str]:
    """The keys that a piece of source reads from mappings of these names.

    By `mapping["key"]`, `mapping.get("key")`, `"key" in mapping`, or in a loop over keys.
    """
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Subscript) and _is_named(each.value, mappings):
            found |= set(_strings([each.slice]))
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            if _is_named(each.func.value, mappings) and each.func.attr in READS:
                found |= set(_strings(each.args[:1]))
        elif isinstance(each, ast.Compare) and _is_named(each.comparators[0], mappings):
            found |= set(_strings([each.left]))
        elif isinstance(each, ast.For) and keys_of_variables(each, mappings):
            found |= set(strings_in(each.iter))
    return found


READS = ("get", "pop", "setdefault")


def keys_of_variables(loop: ast.For, mappings: tuple[str, ...]) -> bool:
    """Whether a loop's variable is used as a key of one of the mappings."""
    return isinstance(loop.target, ast.Name) and any(
        isinstance(each, ast.Subscript)
        and _is_named(each.value, mappings)
        and isinstance(each.slice, ast.Name)
        and each.slice.id == loop.target.id
        for each in ast.walk(loop)
    )


def _is_named(node: ast.expr, names: tuple[str, ...]) -> bool:
    return getattr(node, "attr", getattr(node, "id", None)) in names


def _strings(nodes: list[ast.expr]) -> list[str]:
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
