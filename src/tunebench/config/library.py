"""The fields that transformers and PEFT accept, read from their source without importing them.

`check` runs at every `dvc repro` and must answer within a second; importing the Trainer takes
five. The names come from the installed version itself, so a misspelt one is refused with the
very choices that this version has.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

Fields = dict[str, ast.expr]

_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "dict": (dict,),
    "list": (list,),
}


@cache
def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0])


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}


def _peft_class(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class as one of PEFT's files knows it, followed through imports to where it stands."""
    if name in _classes(path):
        return path, _classes(path)[name]
    for node in _tree(path).body:
        if not (isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}):
            continue
        if not node.level and not (node.module or "").startswith("peft"):
            continue
        base = path.parents[node.level - 1] if node.level else _folder("peft").parent
        module = base.joinpath(*(node.module or "").split("."))
        return _peft_class(
            module / "__init__.py" if module.is_dir() else Path(f"{module}.py"), name
        )
    return None


def _dataclass_fields(cls: ast.ClassDef) -> Fields:
    return {
        node.target.id: node.annotation
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


@cache
def training_fields() -> Fields:
    """Fields of `transformers.TrainingArguments` with their annotations."""
    path = _folder("transformers") / "training_args.py"
    return _dataclass_fields(_classes(path)["TrainingArguments"])


@cache
def generation_fields() -> frozenset[str]:
    """Names that `transformers.GenerationConfig` takes."""
    path = _folder("transformers") / "generation" / "configuration_utils.py"
    return frozenset(
        call.args[0].value
        for method in _classes(path)["GenerationConfig"].body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        for call in ast.walk(method)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "pop"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and not call.args[0].value.startswith("_")
    )


@cache
def _peft_configs() -> dict[str, tuple[Path, str]]:
    """PEFT type (as in `peft_type`) → a file that knows its configuration, and the class."""
    found = {}
    for init in sorted((_folder("peft") / "tuners").glob("*/__init__.py")):
        for call in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
            if not (
                isinstance(call, ast.Call) and getattr(call.func, "id", "").startswith("regis")
            ):
                continue
            given = {word.arg: word.value for word in call.keywords}
            name, config = given.get("name"), given.get("config_cls")
            if isinstance(name, ast.Constant) and isinstance(config, ast.Name):
                found[str(name.value).upper()] = (init, config.id)
    return found


@cache
def peft_types() -> frozenset[str]:
    """Every method that the installed PEFT registers, as `peft_type` names it."""
    return frozenset(_peft_configs())


@cache
def peft_fields(peft_type: str) -> Fields:
    """Fields of the PEFT configuration of `peft_type`, inherited ones included."""
    fields: Fields = {}
    pending = [_peft_configs()[peft_type]]
    while pending:
        found = _peft_class(*pending.pop())
        if found is not None:
            path, cls = found
            fields = _dataclass_fields(cls) | fields
            pending += [(path, base.id) for base in cls.bases if isinstance(base, ast.Name)]
    return fields


@cache
def merges(peft_type: str) -> bool:
    """Whether layers of this PEFT type can be merged into the base model's weights.

    That is so where one of its classes, or a class that it inherits from, defines `merge` as more
    than an error: prompt learning has no layers, and some layers depend on the input.
    """
    init, _ = _peft_configs()[peft_type]
    pending = [(path, name) for path in init.parent.glob("*.py") for name in _classes(path)]
    while pending:
        found = _peft_class(*pending.pop())
        if found is None:
            continue
        path, cls = found
        if any(_defines(node, "merge") for node in cls.body):
            return True
        pending += [(path, base.id) for base in cls.bases if isinstance(base, ast.Name)]
    return False


def _defines(node: ast.stmt, name: str) -> bool:
    """Whether this is a method of that name with more in it than a docstring and an error."""
    return (
        isinstance(node, ast.FunctionDef)
        and node.name == name
        and any(
            not isinstance(line, ast.Raise)
            and not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in node.body
        )
    )


def accepts(annotation: ast.expr, value: object) -> bool:
    """Whether a YAML value fits a field's annotation; True where the annotation is not plain."""
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    constants = {node.value for node in ast.walk(annotation) if isinstance(node, ast.Constant)}
    plain = names <= {*_PLAIN, "Union", "Optional"} and constants <= {None}
    if not plain:
        return True
    if value is None:
        return None in constants or "Optional" in names
    if isinstance(value, bool):  # which Python counts as an int
        return "bool" in names
    return any(isinstance(value, kinds) for name, kinds in _PLAIN.items() if name in names)


def type_name(annotation: ast.expr) -> str:
    """The annotation as a person reads it: `float`, `int | str`."""
    text = ast.unparse(annotation)
    return text.removeprefix("Optional[").removesuffix("]") if "Optional" in text else text
