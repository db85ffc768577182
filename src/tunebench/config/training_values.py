"""Which fields of TrainingArguments cannot be set, and the ranges of the others.

transformers and torch check most of them when the model is loaded, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tunebench.config import trainer_fields
from tunebench.config.ranges import (
    BELOW_ONE,
    POSITIVE,
    Range,
    at_least,
    between,
    one_of,
    out_of_range,
)
from tunebench.errors import suggest

AXIS = "seeds are an axis: grid.seeds"
PUBLISHES = "it publishes; upload what you choose from data/adapters by `hf upload`"
TRACKERS = ("mlflow", "tensorboard", "wandb")  # those that have been tried
NAMED = "each run is named by what it is: model/dataset/method/size-seed"
PROJECT = "set the tracker's environment variable: WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME"
TRACKED = f"trackers are named under report_to: {', '.join(TRACKERS)}"
SCRIPTS = "the Trainer does not read it"
OWN_METRICS = "no metric but the loss is computed while a run trains; see evaluation"
OWN_BATCHES = "batches are made here, with columns of their own"

MANAGED_TRAINING_FIELDS = {
    "output_dir": "each run has its own folder",
    "seed": AXIS,
    "data_seed": AXIS,
    "resume_from_checkpoint": "a killed run resumes by itself",
    "hub_token": (
        "Git, dvc.lock and run.json would keep the secret; set the environment variable HF_TOKEN"
    ),
    **dict.fromkeys(
        (
            "push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push",
            "hub_revision",
        ),
        PUBLISHES,
    ),
    **dict.fromkeys(
        (
            "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id",
        ),
        TRACKED,
    ),
    "run_name": NAMED,
    "project": PROJECT,
    **dict.fromkeys(("do_train", "do_eval", "do_predict"), SCRIPTS),
    **dict.fromkeys(("batch_eval_metrics", "include_for_metrics"), OWN_METRICS),
    **dict.fromkeys(("remove_unused_columns", "label_names", "length_column_name"), OWN_BATCHES),
    "fsdp": "it must be known before the model is loaded: launch: {config: launch/fsdp.yaml}",
    "debug": "it looks into every layer, and fails where a tensor is empty",
    "local_rank": "launch sets it in each process",
    "parallelism_config": "it takes an object of accelerate, which YAML cannot hold; see launch",
}  # fmt: skip
# values of refused fields that set nothing, and are accepted
UNSET = (None, False)
NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("output_dir", "seed", "data_seed", "resume_from_checkpoint", "hub_strategy", "project"), ()
    ),
    "parallelism_config": (None,),
    "debug": (None, False, "", []),
}

COUNT = at_least(1)
STEPS: Range = (
    "a whole number of steps, or a fraction of all steps above 0 and below 1",
    lambda value: 0 < value < 1 or (value >= 1 and value == int(value)),
)
RANGES: dict[str, Range] = {
    "per_device_train_batch_size": COUNT,
    "per_device_eval_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "eval_accumulation_steps": COUNT,
    "torch_empty_cache_steps": COUNT,
    "save_total_limit": COUNT,
    "ddp_bucket_cap_mb": COUNT,
    "ddp_timeout": between(1, 1e9),
    "num_train_epochs": ("above 0, and 1e+06 at most", lambda value: 0 < value <= 1e6),
    "max_steps": ("1 or more, or -1 for none", lambda value: 1 <= value <= 1e9 or value == -1),
    "learning_rate": at_least(0),
    "warmup_steps": (
        "a whole number of steps, or a fraction of all steps below 1",
        lambda value: 0 <= value < 1 or (value >= 1 and value == int(value)),
    ),
    "weight_decay": at_least(0),
    "adam_beta1": BELOW_ONE,
    "adam_beta2": BELOW_ONE,
    "adam_epsilon": POSITIVE,
    "max_grad_norm": at_least(0),
    "label_smoothing_factor": BELOW_ONE,
    "neftune_noise_alpha": at_least(0),
    "logging_steps": STEPS,
    "eval_steps": STEPS,
    "save_steps": STEPS,
    "eval_delay": at_least(0),
    # each is a process, with so many batches in memory
    "dataloader_num_workers": between(0, 256),
    "dataloader_prefetch_factor": between(1, 1024),
    "dataloader_multiprocessing_context": one_of("fork", "spawn", "forkserver"),
    "ddp_backend": one_of("nccl", "gloo", "mpi", "ccl", "hccl", "cncl", "mccl", "xccl"),
    "metric_for_best_model": one_of("loss", "eval_loss"),
    "torch_compile_mode": one_of(
        "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"
    ),
    "optim_target_modules": ("not empty", lambda value: len(value) > 0),
}
# transformers reads a text there as the name of a file, whose changes DVC would not see
MAPPINGS_ONLY = (
    "accelerator_config", "activation_checkpointing_kwargs", "deepspeed", "fsdp_config",
    "gradient_checkpointing_kwargs", "lr_scheduler_kwargs",
)  # fmt: skip
# parts of a DeepSpeed configuration that send metrics away or write outside of the run's folder
DEEPSPEED_REFUSED = ("wandb", "comet", "tensorboard", "csv_monitor")


TRUE = ("true", "1", "yes")
FLAG = (*TRUE, "false", "0", "no")
DTYPES = ("float32", "bfloat16", "float16")
# `optim_args` that are no number of 0 or more, with their values
OPTIMIZER_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "nesterov", "centered", "use_kahan_summation", "bf16_stochastic_round", "kahan_sum",
            "decouple_lr",
        ),
        FLAG,
    ),
    **dict.fromkeys(("momentum_dtype", "variance_dtype", "compensation_buffer_dtype"), DTYPES),
    "proj": ("random", "svd"),
    "proj_type": ("std", "reverse_std", "left", "right", "full"),
    "scale_type": ("channel", "tensor"),
}  # fmt: skip
OPTIMIZER_COUNTS = ("rank", "update_proj_gap", "t_alpha", "t_beta3", "block_size")

# of `lr_scheduler_kwargs`
SCHEDULE_RANGES: dict[str, Range] = {
    "num_cycles": POSITIVE,
    "power": at_least(0),
    "lr_end": at_least(0),
    "timescale": COUNT,
    "mode": one_of("min", "max"),
    "factor": ("above 0 and below 1", lambda value: 0 < value < 1),
    "threshold_mode": one_of("rel", "abs"),
    **dict.fromkeys(
        ("threshold", "patience", "cooldown", "warmup", "eps", "num_stable_steps", "reset_start"),
        at_least(0),
    ),
    "min_lr": ("one number of 0 or more", lambda value: value >= 0),
    "max_lr": ("one number above 0", lambda value: value > 0),
    **dict.fromkeys(("min_lr_rate", "min_lr_ratio", "warmup_lr_rate"), between(0, 1)),
    "num_decay_steps": COUNT,
    "window_size": COUNT,
    **dict.fromkeys(("warmup_type", "decay_type"), one_of("linear", "cosine", "1-sqrt")),
}


def managed_faults(settings: dict[str, Any]) -> Iterator[str]:
    """A line for each field that cannot be set."""
    for key, reason in MANAGED_TRAINING_FIELDS.items():
        if key not in settings:
            continue
        value, unset = settings[key], NEUTRAL.get(key, UNSET)
        if not any(value == neutral and type(value) is type(neutral) for neutral in unset):
            yield f"{key}: cannot be set here; {reason}"


def value_faults(key: str, value: Any) -> Iterator[str]:
    """A line for a value that has the right type, and is still refused or fails later."""
    if key in MAPPINGS_ONLY and isinstance(value, str):
        yield f"{key}: {value!r} is no mapping; write its keys here, so that DVC tracks them"
    elif key == "deepspeed" and isinstance(value, dict):
        for part in DEEPSPEED_REFUSED:
            if part in value:
                yield f"{key}.{part}: cannot be set here; {TRACKED}"
    elif key == "report_to":
        yield from _tracker_faults(value)
    elif key == "optim_args" and value:
        yield from _optimizer_faults(value)
    elif key == "torch_compile_backend" and value is not None:
        backends = trainer_fields.compile_backends()
        if value not in backends:
            yield f"{key}: {value!r} is unknown; {suggest(value, backends)}"
    elif key == "lr_scheduler_kwargs" and isinstance(value, dict):
        yield from (f"{key}.{line}" for line in schedule_faults(value))
    else:
        yield from out_of_range(key, value, RANGES)


def trackers(value: Any) -> list[str]:
    """The trackers in a value of `report_to`, which is a name or a list of them."""
    named = value if isinstance(value, list) else [value]
    return [] if named == ["none"] else named


def _tracker_faults(value: Any) -> Iterator[str]:
    for name in trackers(value):
        if name not in TRACKERS:
            # not `all`, nor null, which mean whatever is installed
            yield f"report_to: {name!r} is unknown; {suggest(name, [*TRACKERS, 'none'])}"


def _optimizer_faults(text: str) -> Iterator[str]:
    """Faults in `optim_args`, as `momentum=0.9,nesterov=true`."""
    fields = trainer_fields.optimizer_arguments()
    pairs = [pair.split("=") for pair in text.replace(" ", "").split(",")]
    if any(len(pair) != 2 for pair in pairs):
        yield f"optim_args: {text!r} are no pairs; write momentum=0.9,nesterov=true"
        return
    options = dict(pairs)
    for key, value in options.items():
        if key not in fields:
            yield f"optim_args: unknown key {key!r}; {suggest(key, fields)}"
        elif key not in OPTIMIZER_WORDS and not _is_number(value, whole=key in OPTIMIZER_COUNTS):
            kind = "whole number" if key in OPTIMIZER_COUNTS else "number"
            yield f"optim_args: {key}={value} should be a {kind} of 0 or more"
        elif key in OPTIMIZER_WORDS and value.lower() not in OPTIMIZER_WORDS[key]:
            yield f"optim_args: {key}={value} is unknown; {suggest(value, OPTIMIZER_WORDS[key])}"
    if options.get("nesterov", "").lower() in TRUE and not (
        float(options.get("momentum", 0)) > 0 == float(options.get("dampening", 0))
    ):
        yield "optim_args: nesterov needs momentum above 0, and no dampening"


def _is_number(text: str, *, whole: bool) -> bool:
    if whole:
        return text.isdecimal()
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def schedule_faults(options: Mapping[str, Any]) -> Iterator[str]:
    """A line for each value of `lr_scheduler_kwargs` outside its range."""
    for key, value in options.items():
        yield from out_of_range(key, value, SCHEDULE_RANGES)
