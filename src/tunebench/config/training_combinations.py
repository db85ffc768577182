"""TrainingArguments that are valid alone but not together: the Trainer finds them at its start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any

from tunebench.config import trainer_fields
from tunebench.errors import suggest

DEFAULT_SCHEDULE = "linear"
DEFAULT_RATE = 5e-5
DEFAULT_STEPS = 500
# the keys that `faults` reads, so that a search needs no more combinations than of these
READ = (
    "lr_scheduler_type", "lr_scheduler_kwargs", "learning_rate", "bf16", "fp16", "bf16_full_eval",
    "fp16_full_eval", "eval_on_start", "eval_strategy", "save_strategy", "eval_steps", "save_steps",
    "logging_steps", "load_best_model_at_end", "metric_for_best_model", "dataloader_num_workers",
    "dataloader_prefetch_factor", "dataloader_persistent_workers",
    "dataloader_multiprocessing_context", "optim", "optim_args", "optim_target_modules",
    "gradient_accumulation_steps", "per_device_train_batch_size", "launch",
)  # fmt: skip
LOW_RANK = ("galore", "apollo")

# a key, and the fault of its value beside the others
Fault = tuple[str, str]


def faults(settings: Mapping[str, Any], *, validation_rows: int) -> Iterator[Fault]:
    """Each fault in the merged training settings of a run."""
    yield from _schedule(settings)
    yield from _precision(settings)
    yield from _evaluation(settings, validation_rows)
    yield from _data_loading(settings)
    yield from _optimizer(settings)
    yield from _processes(settings)


def _schedule(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults in keyword arguments of a schedule."""
    schedule = settings.get("lr_scheduler_type", DEFAULT_SCHEDULE)
    options = settings.get("lr_scheduler_kwargs") or {}
    place, fields = "lr_scheduler_kwargs", trainer_fields.schedule(schedule)
    for key in options:
        if key not in fields and not fields:
            remedy = "set lr_scheduler_kwargs: null"
            yield f"{place}.{key}", f"lr_scheduler_type {schedule} takes none; {remedy}"
        elif key not in fields:
            hint = suggest(key, fields)
            yield f"{place}.{key}", f"is none of lr_scheduler_type {schedule}; {hint}"
    for key in trainer_fields.required_by_schedule(schedule):
        if key not in options:
            yield place, f"{key} is missing, which lr_scheduler_type {schedule} needs"
    floors = ("min_lr", "min_lr_rate")
    if set(floors) <= set(fields) and sum(options.get(key) is not None for key in floors) != 1:
        yield place, f"lr_scheduler_type {schedule} needs one of min_lr and min_lr_rate"
    rate = settings.get("learning_rate", DEFAULT_RATE)
    for key in ("lr_end", "min_lr"):
        floor = options.get(key, 1e-7 if key == "lr_end" and key in fields else None)
        if key in fields and floor is not None and floor >= rate:
            yield f"{place}.{key}", f"{floor!r} should be below learning_rate, {rate!r}"


def _precision(settings: Mapping[str, Any]) -> Iterator[Fault]:
    for suffix in ("", "_full_eval"):
        if settings.get(f"bf16{suffix}") and settings.get(f"fp16{suffix}"):
            yield f"fp16{suffix}", f"true goes with bf16{suffix}: false only; choose one"


def _evaluation(settings: Mapping[str, Any], validation_rows: int) -> Iterator[Fault]:
    evaluated, saved = settings.get("eval_strategy", "no"), settings.get("save_strategy", "steps")
    schedule = settings.get("lr_scheduler_type", DEFAULT_SCHEDULE)
    best = settings.get("load_best_model_at_end")
    if evaluated != "no" and not validation_rows:
        yield "eval_strategy", f"{evaluated!r} needs rows to evaluate on: set validation_rows"
    if settings.get("eval_on_start") and not validation_rows:
        yield "eval_on_start", "needs rows to evaluate on: set validation_rows"
    if schedule in ("reduce_lr_on_plateau", "greedy") and evaluated == "no":
        yield "lr_scheduler_type", f"{schedule} follows the validation loss: set eval_strategy"
    if saved == "best" and evaluated == "no":
        yield "save_strategy", "best is the lowest validation loss: set eval_strategy"
    if saved == "best" and not best and settings.get("metric_for_best_model") is None:
        yield "save_strategy", "best needs metric_for_best_model: loss"
    if best and saved != "best":
        if evaluated != saved:
            yield (
                "load_best_model_at_end",
                f"needs eval_strategy as save_strategy; they are {evaluated} and {saved}",
            )
        elif evaluated == "steps" and not _is_multiple(settings):
            yield "load_best_model_at_end", "needs save_steps that are a multiple of eval_steps"


def _is_multiple(settings: Mapping[str, Any]) -> bool:
    saved = settings.get("save_steps", DEFAULT_STEPS)
    logged = settings.get("logging_steps", DEFAULT_STEPS)
    evaluated = settings.get("eval_steps") or logged
    if (saved < 1) != (evaluated < 1):
        return False
    # as transformers does it for fractions
    scale = 1_000_000 if saved < 1 else 1
    return float((saved * scale) % (evaluated * scale)) == 0


def _data_loading(settings: Mapping[str, Any]) -> Iterator[Fault]:
    if settings.get("dataloader_num_workers"):
        return
    for key in ("prefetch_factor", "persistent_workers", "multiprocessing_context"):
        if settings.get(f"dataloader_{key}"):
            yield f"dataloader_{key}", "goes with dataloader_num_workers above 0 only"


def _optimizer(settings: Mapping[str, Any]) -> Iterator[Fault]:
    name = settings.get("optim", "")
    if name.startswith(LOW_RANK) and not settings.get("optim_target_modules"):
        yield "optim", f"{name} needs optim_target_modules, as [attn, mlp] or all-linear"
    if name.endswith("layerwise") and settings.get("gradient_accumulation_steps", 1) != 1:
        yield "gradient_accumulation_steps", f"must be 1 with optim: {name}"
    if name.startswith("rmsprop_bnb") and settings.get("optim_args"):
        yield "optim_args", f"transformers hands them to {name} as text, which fails; remove them"


def _processes(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """A batch that the processes of `launch` cannot share; as `training.batch_size` shares it."""
    launch = settings.get("launch") or {}
    processes = launch.get("num_processes", 1)
    batch = settings.get("per_device_train_batch_size", 8)
    steps = settings.get("gradient_accumulation_steps", 1)
    if batch % (processes // gcd(steps, processes)):
        yield (
            "per_device_train_batch_size",
            f"{batch} × gradient_accumulation_steps {steps} cannot be shared by"
            f" launch.num_processes {processes}; choose a multiple of {processes}",
        )
