"""The source of installed libraries, parsed without importing them.

`check` runs at every `dvc repro` and must finish within a second; importing the Trainer takes five.
Each file is parsed at most once per process, and only if the parameters need it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

Annotations = Mapping[str, ast.expr | None]

# packages whose imports are followed to a class's definition
FOLLOWED = ("accelerate", "peft", "transformers")


@cache
def folder(package: str) -> Path:
    """The folder of an installed package."""
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
    """A class by its name in a file, followed through imports to its definition."""
    if name in classes(path):
        return path, classes(path)[name]
    for node in ast.walk(tree(path)):  # some imports are conditional
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
    """The value of an assignment `Name = …` in a file."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and _is_named(node.targets[0], (name,)):
            return node.value
    return None


def dataclass_fields(cls: ast.ClassDef) -> dict[str, ast.expr]:
    """A dataclass's own fields with their annotations, without those with `init=False`."""
    return {
        node.target.id: node.annotation
        for node in cls.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not _is_filled_later(node.value)
    }


def _is_filled_later(default: ast.expr | None) -> bool:
    keywords = {word.arg: word.value for word in getattr(default, "keywords", ())}
    init = keywords.get("init")
    return isinstance(init, ast.Constant) and init.value is False


def parameters(definition: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """A function's parameters with their annotations, or the types of their defaults."""
    positional = [*definition.args.posonlyargs, *definition.args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(definition.args.defaults))
    defaults = [*missing, *definition.args.defaults, *definition.args.kw_defaults]
    annotations = {}
    for argument, default in zip([*positional, *definition.args.kwonlyargs], defaults, strict=True):
        annotation = argument.annotation
        if annotation is None and isinstance(default, ast.Constant) and default.value is not None:
            annotation = ast.Name(type(default.value).__name__)
        annotations[argument.arg] = annotation
    return annotations


def required(definition: ast.FunctionDef) -> list[str]:
    """The parameters without a default."""
    positional = [argument.arg for argument in definition.args.args]
    return positional[: len(positional) - len(definition.args.defaults)]


def members(cls: ast.ClassDef) -> list[str]:
    """The string values of an enumeration."""
    return [
        node.value.value
        for node in cls.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


# `name (`type`, *optional*, …):`, as transformers documents parameters, with or without backticks
_DOCUMENTED = re.compile(r"^ {8}(\w+):? *\((.+)\)+:\s*\n((?:(?: {9,}.*| *)\n)*)", re.MULTILINE)
_TYPE = re.compile(r",\s*\*|,\s*default|,\s*`?optional")


@cache
def _documented(path: Path, name: str) -> dict[str, tuple[ast.expr | None, str]]:
    text = ast.get_docstring(classes(path)[name], clean=False) or ""
    return {
        parameter: (_parsed(_TYPE.split(type_text)[0]), described)
        for parameter, type_text, described in _DOCUMENTED.findall(text + "\n")
    }


def documented_types(path: Path, name: str) -> dict[str, ast.expr | None]:
    """The parameters in a class's docstring, with their types."""
    return {key: annotation for key, (annotation, _) in _documented(path, name).items()}


def documented_words(path: Path, name: str, parameter: str) -> list[str]:
    """The strings in double quotes in a class's docstring of a parameter."""
    _, described = _documented(path, name).get(parameter, (None, ""))
    return list(dict.fromkeys(re.findall(r'"(\w+)"', described)))


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.replace("`", "").replace(" or ", " | "), mode="eval").body
    except SyntaxError:
        return None


def strings_in(node: ast.AST) -> Iterator[str]:
    """Every string in a syntax tree."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def keys_read(node: ast.AST, *mappings: str) -> set[str]:
    """The keys that a syntax tree reads from mappings with these names.

    It may use `mapping["key"]`, `mapping.get("key")`, `"key" in mapping`, or a loop over keys.
    """
    keys: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Subscript) and _is_named(inner.value, mappings):
            keys |= set(_strings([inner.slice]))
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if _is_named(inner.func.value, mappings) and inner.func.attr in READS:
                keys |= set(_strings(inner.args[:1]))
        elif isinstance(inner, ast.Compare) and _is_named(inner.comparators[0], mappings):
            keys |= set(_strings([inner.left]))
        elif isinstance(inner, ast.For) and keys_of_variables(inner, mappings):
            keys |= set(strings_in(inner.iter))
    return keys


READS = ("get", "pop", "setdefault")


def keys_of_variables(loop: ast.For, mappings: tuple[str, ...]) -> bool:
    """Whether a loop's variable is used as a key of one of the mappings."""
    return isinstance(loop.target, ast.Name) and any(
        isinstance(inner, ast.Subscript)
        and _is_named(inner.value, mappings)
        and isinstance(inner.slice, ast.Name)
        and inner.slice.id == loop.target.id
        for inner in ast.walk(loop)
    )


def _is_named(node: ast.expr, names: tuple[str, ...]) -> bool:
    return getattr(node, "attr", getattr(node, "id", None)) in names


def _strings(nodes: list[ast.expr]) -> list[str]:
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
