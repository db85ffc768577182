"""The fields that transformers and PEFT accept, as the installed versions' own source names them.

So a misspelt one is refused with the very choices that these versions have; see `source`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tunebench.config.source import (
    classes,
    dataclass_fields,
    documented_types,
    find,
    folder,
    function,
    parameters,
    strings_in,
    tree,
)
from tunebench.config.types import Fields, Type

# dtypes that weights can be computed in, as `models.<m>.dtype` has them
DTYPES = ("float32", "bfloat16", "float16")
# bitsandbytes' 4-bit types, as transformers' docstring names them
QUANT_TYPES = ("nf4", "fp4")
TEXT = frozenset(["str"])


@cache
def generation_fields() -> Fields:
    """Fields of `transformers.GenerationConfig`, with the types that its docstring tells."""
    path = folder("transformers") / "generation" / "configuration_utils.py"
    told = documented_types(path, "GenerationConfig")
    names = [
        call.args[0].value
        for call in ast.walk(function(classes(path)["GenerationConfig"], "__init__"))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "pop"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and not call.args[0].value.startswith("_")
    ]
    return Fields({name: told.get(name) for name in names}, path)


@cache
def watermarking_fields() -> Fields:
    """What `watermarking_config` takes as a mapping: `transformers.WatermarkingConfig`."""
    path = folder("transformers") / "generation" / "configuration_utils.py"
    cls = classes(path)["WatermarkingConfig"]
    schemes = next(
        tuple(strings_in(each.comparators[0]))
        for each in ast.walk(function(cls, "validate"))
        if isinstance(each, ast.Compare) and "seeding_scheme" in ast.unparse(each.left)
    )
    given = parameters(function(cls, "__init__"))
    del given["self"]
    return Fields(given, path, {"seeding_scheme": Type(TEXT, words=schemes)})


@cache
def quantization_fields() -> Fields:
    """Fields of `transformers.BitsAndBytesConfig`, which takes any other name in silence."""
    path = folder("transformers") / "utils" / "quantization_config.py"
    made = function(classes(path)["BitsAndBytesConfig"], "__init__")
    told = documented_types(path, "BitsAndBytesConfig")
    storage = next(
        tuple(strings_in(each.comparators[0]))
        for each in ast.walk(made)
        if isinstance(each, ast.Compare)
        and isinstance(each.ops[0], ast.NotIn)
        and "quant_storage" in ast.unparse(each.left)
    )
    known = {
        "bnb_4bit_compute_dtype": Type(TEXT, none=True, words=DTYPES),
        "bnb_4bit_quant_storage": Type(TEXT, none=True, words=storage),
        "bnb_4bit_quant_type": Type(TEXT, words=QUANT_TYPES),
    }
    names = [name for name in parameters(made) if name != "self"]
    return Fields({name: told.get(name) for name in names}, path, known)


@cache
def _peft_configs() -> dict[str, tuple[Path, str]]:
    """PEFT type (as in `peft_type`) → a file that knows its configuration, and the class."""
    found = {}
    for init in sorted((folder("peft") / "tuners").glob("*/__init__.py")):
        for call in ast.walk(tree(init)):
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
    fields: dict[str, ast.expr] = {}
    files: dict[str, Path] = {}
    pending = [_peft_configs()[peft_type]]
    while pending:
        found = find(*pending.pop())
        if found is not None:
            path, cls = found
            own = dataclass_fields(cls)
            fields = own | fields
            files = dict.fromkeys(own, path) | files
            pending += [(path, base.id) for base in cls.bases if isinstance(base, ast.Name)]
    return Fields(fields, files)


@cache
def merges(peft_type: str) -> bool:
    """Whether layers of this PEFT type can be merged into the base model's weights.

    That is so where one of its classes, or a class that it inherits from, defines `merge` as more
    than an error: prompt learning has no layers, and some layers depend on the input.
    """
    init, _ = _peft_configs()[peft_type]
    pending = [(path, name) for path in init.parent.glob("*.py") for name in classes(path)]
    while pending:
        found = find(*pending.pop())
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
