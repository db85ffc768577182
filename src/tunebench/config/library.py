"""The fields that transformers and PEFT accept, from the source of the installed versions.

So an unknown field is refused with the choices of exactly these versions; see `source`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tunebench.config.source import (
    alias,
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

# dtypes for computation, as in `models.<m>.dtype`
DTYPES = ("float32", "bfloat16", "float16")
# bitsandbytes' 4-bit types, as in transformers' docstring
QUANT_TYPES = ("nf4", "fp4")
TEXT = frozenset(["str"])
# fields of PEFT configurations, with the package, file and mapping whose keys they take
WORD_TABLES = {
    "act_fn": ("transformers", "activations.py", "ACT2CLS"),
    "wavelet_family": ("peft", "tuners/waveft/constants.py", "WAVELET_REDUCTIONS"),
}


@cache
def attention_implementations() -> frozenset[str]:
    """Values of `attn_implementation`: those of transformers' AttentionInterface, and eager."""
    path = folder("transformers") / "modeling_utils.py"
    table = next(
        node.value
        for node in classes(path)["AttentionInterface"].body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    )
    names = {key.value for key in table.keys if isinstance(key, ast.Constant)}
    # `paged|…` is for a server's batches
    return frozenset(str(name) for name in names if "|" not in str(name)) | {"eager"}


@cache
def generation_fields() -> Fields:
    """Fields of `transformers.GenerationConfig`, with the types in its docstring."""
    path = folder("transformers") / "generation" / "configuration_utils.py"
    documented = documented_types(path, "GenerationConfig")
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
    return Fields({name: documented.get(name) for name in names}, path)


@cache
def watermarking_fields() -> Fields:
    """Fields of `watermarking_config`: those of `transformers.WatermarkingConfig`."""
    path = folder("transformers") / "generation" / "configuration_utils.py"
    cls = classes(path)["WatermarkingConfig"]
    schemes = next(
        tuple(strings_in(node.comparators[0]))
        for node in ast.walk(function(cls, "validate"))
        if isinstance(node, ast.Compare) and "seeding_scheme" in ast.unparse(node.left)
    )
    arguments = parameters(function(cls, "__init__"))
    del arguments["self"]
    return Fields(arguments, path, {"seeding_scheme": Type(TEXT, words=schemes)})


@cache
def quantization_fields() -> Fields:
    """Fields of `transformers.BitsAndBytesConfig`, which silently accepts unknown ones."""
    path = folder("transformers") / "utils" / "quantization_config.py"
    init = function(classes(path)["BitsAndBytesConfig"], "__init__")
    documented = documented_types(path, "BitsAndBytesConfig")
    storage = next(
        tuple(strings_in(node.comparators[0]))
        for node in ast.walk(init)
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.NotIn)
        and "quant_storage" in ast.unparse(node.left)
    )
    overrides = {
        "bnb_4bit_compute_dtype": Type(TEXT, none=True, words=DTYPES),
        "bnb_4bit_quant_storage": Type(TEXT, none=True, words=storage),
        "bnb_4bit_quant_type": Type(TEXT, words=QUANT_TYPES),
    }
    names = [name for name in parameters(init) if name != "self"]
    return Fields({name: documented.get(name) for name in names}, path, overrides)


@cache
def _peft_configs() -> dict[str, tuple[Path, str]]:
    """PEFT type (as in `peft_type`) → a file that imports its configuration class, and its name."""
    configs = {}
    for init in sorted((folder("peft") / "tuners").glob("*/__init__.py")):
        for call in ast.walk(tree(init)):
            if not (
                isinstance(call, ast.Call) and getattr(call.func, "id", "").startswith("regis")
            ):
                continue
            keywords = {word.arg: word.value for word in call.keywords}
            name, config = keywords.get("name"), keywords.get("config_cls")
            if isinstance(name, ast.Constant) and isinstance(config, ast.Name):
                configs[str(name.value).upper()] = (init, config.id)
    return configs


@cache
def peft_types() -> frozenset[str]:
    """Every `peft_type` that the installed PEFT registers."""
    return frozenset(_peft_configs())


@cache
def peft_fields(peft_type: str) -> Fields:
    """Fields of the PEFT configuration of `peft_type`, including inherited ones."""
    fields: dict[str, ast.expr] = {}
    files: dict[str, Path] = {}
    pending = [_peft_configs()[peft_type]]
    while pending:
        located = find(*pending.pop())
        if located is not None:
            path, cls = located
            own_fields = dataclass_fields(cls)
            fields = own_fields | fields
            files = dict.fromkeys(own_fields, path) | files
            pending += [(path, base.id) for base in cls.bases if isinstance(base, ast.Name)]
    words = {name: Type(TEXT, words=_words(name)) for name in WORD_TABLES if name in fields}
    return Fields(fields, files, words)


def _words(name: str) -> tuple[str, ...]:
    """The valid words of a text in a PEFT configuration: the keys of a table in the source."""
    package, file, table = WORD_TABLES[name]
    assigned = alias(folder(package).joinpath(*file.split("/")), table)
    assert isinstance(assigned, ast.Dict)
    return tuple(str(key.value) for key in assigned.keys if isinstance(key, ast.Constant))


@cache
def merges(peft_type: str) -> bool:
    """Whether layers of this PEFT type can be merged into the base model's weights.

    They can if one of its classes, or a base class, implements `merge`. Prompt learning has no
    layers to merge, and some layers depend on the input.
    """
    init, _ = _peft_configs()[peft_type]
    pending = [(path, name) for path in init.parent.glob("*.py") for name in classes(path)]
    while pending:
        located = find(*pending.pop())
        if located is None:
            continue
        path, cls = located
        if any(_defines(node, "merge") for node in cls.body):
            return True
        pending += [(path, base.id) for base in cls.bases if isinstance(base, ast.Name)]
    return False


def _defines(node: ast.stmt, name: str) -> bool:
    """Whether this is a method of that name that does more than raise an error."""
    return (
        isinstance(node, ast.FunctionDef)
        and node.name == name
        and any(
            not isinstance(line, ast.Raise)
            and not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in node.body
        )
    )
