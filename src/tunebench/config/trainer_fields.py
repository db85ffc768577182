"""The fields of `transformers.TrainingArguments`, and of the mappings that some of them take."""

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
    parameters,
    required,
    tree,
)
from tunebench.config.types import Fields, Type

# fields typed `str` whose choices only the docstring of TrainingArguments names
DOCUMENTED_CHOICES = (
    "include_num_input_tokens_seen",
    "log_level",
    "train_sampling_strategy",
)
# which the Trainer gives to every schedule itself
GIVEN_TO_SCHEDULES = {"self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
# of torch's checkpoint(): what is called, and how contexts are made, are no YAML
NOT_FROM_YAML = {"function", "context_fn"}
# `liger_kernel_config` is left free: its names depend on the model's architecture, and the package
# is none of this project's; so is `deepspeed`, whose schema is another library's


def _arguments() -> Path:
    return folder("transformers") / "training_args.py"


@cache
def training_fields() -> Fields:
    """Fields of `transformers.TrainingArguments` with what each takes."""
    path = _arguments()
    told = {name: _documented_choice(name) for name in DOCUMENTED_CHOICES}
    return Fields(dataclass_fields(classes(path)["TrainingArguments"]), path, told)


def _documented_choice(name: str) -> Type:
    words = documented_words(_arguments(), "TrainingArguments", name)
    flag = {"bool"} if name == "include_num_input_tokens_seen" else set()
    return Type(frozenset({"str", *flag}), words=tuple(words))


def nested_fields(name: str) -> Mapping[str, Type] | None:
    """What the mapping under a field of TrainingArguments takes; None where its keys are free."""
    match name:
        case "accelerator_config":
            return accelerator_fields()
        case "activation_checkpointing_kwargs" | "gradient_checkpointing_kwargs":
            return checkpointing_fields()
        case "fsdp_config":
            return fsdp_fields()
        case "lr_scheduler_kwargs":
            return {key: each for name in schedules() for key, each in schedule(name).items()}
    return None


@cache
def accelerator_fields() -> Fields:
    """Fields of `transformers.trainer_pt_utils.AcceleratorConfig`."""
    found = find(_arguments(), "AcceleratorConfig")
    assert found is not None
    path, cls = found
    plugin_path = folder("accelerate") / "utils" / "dataclasses.py"
    fields = dataclass_fields(cls)
    plugin = Fields(
        dataclass_fields(classes(plugin_path)["GradientAccumulationPlugin"]), plugin_path
    )
    inner = Type(frozenset(["dict"]), none=True, fields=plugin)
    return Fields(fields, path, {"gradient_accumulation_kwargs": inner})


@cache
def checkpointing_fields() -> Fields:
    """What the Trainer takes for itself of it, and what torch's `checkpoint` takes."""
    trainer = folder("transformers") / "trainer.py"
    torch = folder("torch") / "utils" / "checkpoint.py"
    made = function(tree(torch), "checkpoint")
    own: dict[str, ast.expr | None] = dict.fromkeys(keys_read(tree(trainer), "gc_kwargs"))
    further: dict[str, ast.expr | None] = dict.fromkeys(keys_read(made, "kwargs"))
    given = {
        key: annotation for key, annotation in parameters(made).items() if key not in NOT_FROM_YAML
    }
    return Fields(own | further | given, torch)


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
    """Each `lr_scheduler_type` with the function that makes it."""
    found = find(_arguments(), "SchedulerType")
    assert found is not None
    values = {
        node.targets[0].id: node.value.value
        for node in found[1].body
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
        str(values[key.attr]): made.id
        for key, made in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Attribute) and isinstance(made, ast.Name)
    }


@cache
def schedule(name: str) -> Fields:
    """What `lr_scheduler_kwargs` takes beside this `lr_scheduler_type`."""
    path, made = _schedule(name)
    # get_scheduler hands it none, and so would say nothing about those that are given
    if name in ("constant", "constant_with_warmup"):
        return Fields({}, path)
    given = parameters(made)
    return Fields({key: given[key] for key in given if key not in GIVEN_TO_SCHEDULES}, path)


def required_by_schedule(name: str) -> list[str]:
    """What `lr_scheduler_kwargs` must hold beside this `lr_scheduler_type`."""
    return [key for key in required(_schedule(name)[1]) if key not in GIVEN_TO_SCHEDULES]


def _schedule(name: str) -> tuple[Path, ast.FunctionDef]:
    made = function(tree(_optimization()), schedules()[name])
    if made.args.kwarg is None:
        return _optimization(), made
    # it hands all on to the class that it returns
    returned = next(node.value for node in ast.walk(made) if isinstance(node, ast.Return))
    assert isinstance(returned, ast.Call)
    cls = ast.unparse(returned.func)
    path = _optimization()
    if cls not in classes(path):
        path = folder("torch") / "optim" / "lr_scheduler.py"
    return path, function(classes(path)[cls], "__init__")


@cache
def optimizer_arguments() -> frozenset[str]:
    """The keys that `optim_args` has for one optimizer or another."""
    path = folder("transformers") / "trainer_optimizer.py"
    return frozenset(keys_read(tree(path), "optim_args"))
