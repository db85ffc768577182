"""The fields of `transformers.TrainingArguments`, and of mappings within them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tunebench.config.source import (
    classes,
    dataclass_fields,
    documented_words,
    find,
    folder,
    function,
    keys_read,
    members,
    parameters,
    required,
    tree,
)
from tunebench.config.types import Fields, Type

# fields of type `str` whose choices are only in the docstring of TrainingArguments
DOCUMENTED_CHOICES = (
    "include_num_input_tokens_seen",
    "log_level",
    "train_sampling_strategy",
)
# arguments that the Trainer passes to every schedule
SET_BY_TRAINER = {"self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
# parameters of torch's checkpoint() that are functions, which YAML cannot express
NOT_FROM_YAML = {"function", "context_fn"}
# `liger_kernel_config` is not checked: its keys depend on the architecture, and the package is no
# dependency; nor is `deepspeed`, which has its own schema


def _arguments() -> Path:
    return folder("transformers") / "training_args.py"


@cache
def training_fields() -> Fields:
    """Fields of `transformers.TrainingArguments`, with their types."""
    path = _arguments()
    documented = {name: _documented_choice(name) for name in DOCUMENTED_CHOICES}
    documented["log_level_replica"] = documented["log_level"]
    return Fields(dataclass_fields(classes(path)["TrainingArguments"]), path, documented)


def _documented_choice(name: str) -> Type:
    words = documented_words(_arguments(), "TrainingArguments", name)
    flag = {"bool"} if name == "include_num_input_tokens_seen" else set()
    return Type(frozenset({"str", *flag}), words=tuple(words))


def nested_fields(name: str) -> Mapping[str, Type] | None:
    """The fields of a mapping in TrainingArguments; None if its keys are not checked."""
    match name:
        case "accelerator_config":
            return accelerator_fields()
        case "activation_checkpointing_kwargs" | "gradient_checkpointing_kwargs":
            return checkpointing_fields()
        case "fsdp_config":
            return fsdp_fields()
        case "lr_scheduler_kwargs":
            return {key: type_ for name in schedules() for key, type_ in schedule(name).items()}
    return None


@cache
def accelerator_fields() -> Fields:
    """Fields of `transformers.trainer_pt_utils.AcceleratorConfig`."""
    located = find(_arguments(), "AcceleratorConfig")
    assert located is not None
    path, cls = located
    plugin_path = folder("accelerate") / "utils" / "dataclasses.py"
    fields = dataclass_fields(cls)
    plugin = Fields(
        dataclass_fields(classes(plugin_path)["GradientAccumulationPlugin"]), plugin_path
    )
    inner = Type(frozenset(["dict"]), none=True, fields=plugin)
    return Fields(fields, path, {"gradient_accumulation_kwargs": inner})


@cache
def checkpointing_fields() -> Fields:
    """The keys that the Trainer reads itself, and the parameters of torch's `checkpoint`."""
    trainer = folder("transformers") / "trainer.py"
    torch = folder("torch") / "utils" / "checkpoint.py"
    checkpoint_function = function(tree(torch), "checkpoint")
    trainer_keys: dict[str, ast.expr | None] = dict.fromkeys(keys_read(tree(trainer), "gc_kwargs"))
    checkpoint_keys: dict[str, ast.expr | None] = dict.fromkeys(
        keys_read(checkpoint_function, "kwargs")
    )
    arguments = {
        key: annotation
        for key, annotation in parameters(checkpoint_function).items()
        if key not in NOT_FROM_YAML
    }
    return Fields(trainer_keys | checkpoint_keys | arguments, torch)


@cache
def fsdp_fields() -> Fields:
    """The keys of `fsdp_config` that TrainingArguments reads, with and without `fsdp_`."""
    cls = classes(_arguments())["TrainingArguments"]
    keys = keys_read(function(cls, "_process_fsdp_args"), "fsdp_config")
    names = [*keys, *(f"fsdp_{key}" for key in keys)]
    return Fields(dict.fromkeys(names), _arguments())


def _optimization() -> Path:
    return folder("transformers") / "optimization.py"


@cache
def schedules() -> dict[str, str]:
    """`lr_scheduler_type` → the name of the function that builds it."""
    located = find(_arguments(), "SchedulerType")
    assert located is not None
    values = {
        node.targets[0].id: node.value.value
        for node in located[1].body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    table = next(
        node.value
        for node in tree(_optimization()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    )
    return {
        str(values[key.attr]): maker.id
        for key, maker in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Attribute) and isinstance(maker, ast.Name)
    }


@cache
def schedule(name: str) -> Fields:
    """The fields of `lr_scheduler_kwargs` with this `lr_scheduler_type`."""
    path, maker = _schedule(name)
    # get_scheduler passes no keyword arguments to these, and silently ignores given ones
    if name in ("constant", "constant_with_warmup"):
        return Fields({}, path)
    arguments = parameters(maker)
    return Fields({key: arguments[key] for key in arguments if key not in SET_BY_TRAINER}, path)


def required_by_schedule(name: str) -> list[str]:
    """The required fields of `lr_scheduler_kwargs` with this `lr_scheduler_type`."""
    return [key for key in required(_schedule(name)[1]) if key not in SET_BY_TRAINER]


def _schedule(name: str) -> tuple[Path, ast.FunctionDef]:
    maker = function(tree(_optimization()), schedules()[name])
    if maker.args.kwarg is None:
        return _optimization(), maker
    # it passes all keyword arguments to the class that it returns
    returned = next(node.value for node in ast.walk(maker) if isinstance(node, ast.Return))
    assert isinstance(returned, ast.Call)
    cls = ast.unparse(returned.func)
    path = _optimization()
    if cls not in classes(path):
        path = folder("torch") / "optim" / "lr_scheduler.py"
    return path, function(classes(path)[cls], "__init__")


@cache
def optimizer_arguments() -> frozenset[str]:
    """The keys of `optim_args`, for any of the optimizers."""
    path = folder("transformers") / "trainer_optimizer.py"
    return frozenset(keys_read(tree(path), "optim_args"))


@cache
def compile_backends() -> frozenset[str]:
    """The values of `torch_compile_backend`: those of accelerate's DynamoBackend."""
    path = folder("accelerate") / "utils" / "dataclasses.py"
    return frozenset(name.lower() for name in members(classes(path)["DynamoBackend"]))
