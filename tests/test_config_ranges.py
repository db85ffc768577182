"""Values of the right type that training would refuse late, or never, are refused at once."""

import math
from pathlib import Path
from typing import Any

import pytest
from faults import REMOVED, edit, faults_of

NAN, INF = math.nan, math.inf
TRAINING: list[tuple[dict[str, Any], str]] = [
    ({"learning_rate": NAN}, "learning_rate: nan is no finite number"),
    ({"learning_rate": INF}, "learning_rate: inf is no finite number"),
    ({"learning_rate": -1e-3}, "learning_rate: -0.001 should be 0 or more"),
    ({"per_device_train_batch_size": 0}, "per_device_train_batch_size: 0 should be 1 or more"),
    ({"num_train_epochs": 0}, "num_train_epochs: 0 should be above 0, and"),
    ({"max_steps": 0}, "max_steps: 0 should be 1 or more, or -1 for none"),
    ({"warmup_steps": -1}, "warmup_steps: -1 should be a whole number of steps, or a fraction"),
    ({"warmup_steps": 1.5}, "warmup_steps: 1.5 should be a whole number of steps, or a fraction"),
    ({"save_steps": 2.5}, "save_steps: 2.5 should be a whole number of steps, or a fraction"),
    ({"logging_steps": 0}, "logging_steps: 0 should be a whole number of steps, or a fraction"),
    ({"weight_decay": -0.1}, "weight_decay: -0.1 should be 0 or more"),
    ({"adam_beta1": 1.0}, "adam_beta1: 1.0 should be 0 or more and below 1"),
    ({"adam_epsilon": 0.0}, "adam_epsilon: 0.0 should be above 0"),
    ({"label_smoothing_factor": 1.5}, "label_smoothing_factor: 1.5 should be 0 or more and below"),
    ({"ddp_backend": "smoke"}, "ddp_backend: 'smoke' should be one of nccl, gloo"),
    ({"metric_for_best_model": "f1"}, "metric_for_best_model: 'f1' should be one of loss, eval"),
    ({"torch_compile_backend": "inducer"}, "torch_compile_backend: 'inducer' is unknown; did you"),
    ({"debug": "overflow"}, "debug: cannot be set here; it looks into every layer"),
    ({"optim_args": "momentum=x"}, "optim_args: momentum=x should be a number of 0 or more"),
    ({"optim_args": "momentum=nan"}, "optim_args: momentum=nan should be a number of 0 or more"),
    ({"optim_args": "rank=1.5"}, "optim_args: rank=1.5 should be a whole number of 0 or more"),
    ({"optim_args": "nesterov=maybe"}, "optim_args: nesterov=maybe is unknown; "),
    ({"optim_args": "nesterov=true"}, "optim_args: nesterov needs momentum above 0"),
    ({"fsdp": "full_shard"}, "fsdp: cannot be set here; it must be known before the model is"),
    (
        {"lr_scheduler_type": "inverse_sqrt", "lr_scheduler_kwargs": {"timescale": 0}},
        "lr_scheduler_kwargs.timescale: 0 should be 1 or more",
    ),
    (
        {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": NAN}},
        "lr_scheduler_kwargs.num_cycles: nan is no finite number",
    ),
]


@pytest.mark.parametrize(("settings", "expected"), TRAINING)
def test_training_value(
    settings: dict[str, Any], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["training"] |= settings
    lines = faults_of(valid, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(f"training.{expected}")


PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau"}
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"fp16": True, "bf16": True}, "training.fp16: true goes with bf16: false only"),
    ({"eval_strategy": "epoch"}, "training.eval_strategy: 'epoch' needs rows to evaluate on"),
    ({"eval_on_start": True}, "training.eval_on_start: needs rows to evaluate on"),
    (PLATEAU, "training.lr_scheduler_type: reduce_lr_on_plateau follows the validation loss"),
    ({"load_best_model_at_end": True}, "training.load_best_model_at_end: needs eval_strategy as"),
    ({"dataloader_prefetch_factor": 2}, "training.dataloader_prefetch_factor: goes with"),
    ({"dataloader_persistent_workers": True}, "training.dataloader_persistent_workers: goes with"),
    ({"optim": "galore_adamw"}, "training.optim: galore_adamw needs optim_target_modules"),
    (
        {"optim": "rmsprop_bnb", "optim_args": "alpha=0.9"},
        "training.optim_args: transformers hands",
    ),
    (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1.0}},
        "training.lr_scheduler_kwargs.lr_end: 1.0 should be below learning_rate, 0.01",
    ),
    (
        {"launch": {"num_processes": 3}},
        "training.per_device_train_batch_size: 4 × gradient_accumulation_steps 1 cannot be shared",
    ),
]


@pytest.mark.parametrize(("settings", "expected"), TOGETHER)
def test_training_values_together(
    settings: dict[str, Any], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["training"] |= settings
    lines = faults_of(valid, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(expected)


def test_search_is_checked_together_with_the_rest(valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "datasets.reviews.validation_rows", 4)
    edit(valid, "training.bf16", True)
    edit(valid, "methods.lora.search", {"fp16": [False, True], "learning_rate": [1e-3, -1.0]})
    assert faults_of(valid, tmp_path) == [
        "methods.lora.search.learning_rate: -1.0 should be 0 or more"
    ]
    edit(valid, "methods.lora.search.learning_rate", [1e-3])
    (line,) = faults_of(valid, tmp_path)
    assert line.startswith("methods.lora.search.fp16: true goes with bf16: false only")


ADAPTERS: list[tuple[dict[str, Any], str]] = [
    ({"peft_type": "LORA", "r": 0}, "r: 0 should be from 1 to 65536"),
    ({"peft_type": "LORA", "r": 2**40}, f"r: {2**40} should be from 1 to 65536"),
    ({"peft_type": "LORA", "lora_dropout": 1.5}, "lora_dropout: 1.5 should be 0 or more and below"),
    ({"peft_type": "LORA", "lora_alpha": NAN}, "lora_alpha: nan is not of type int"),
    ({"peft_type": "LORA", "lora_alpha": -16}, "lora_alpha: -16 should be above 0"),
    ({"peft_type": "LORA", "rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj: 0 should be from"),
    ({"peft_type": "LORA", "alpha_pattern": {"q_proj": INF}}, "alpha_pattern.q_proj: inf is no"),
    (
        {"peft_type": "LORA", "target_modules": "q_proj", "layers_to_transform": [0]},
        "layers_to_transform: goes with a list of target_modules only",
    ),
    ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 0}, "num_virtual_tokens: 0 should be"),
    (
        {"peft_type": "PROMPT_TUNING"},
        "num_virtual_tokens: is missing; PROMPT_TUNING needs a number",
    ),
    ({"peft_type": "OFT", "r": 4}, "r: OFT takes either r or oft_block_size; set one"),
    (
        {"peft_type": "PEANUT", "act_fn": "rellu"},
        "act_fn: 'rellu' is unknown; did you mean 'relu'?",
    ),
]


@pytest.mark.parametrize(("adapter", "expected"), ADAPTERS)
def test_adapter_value(
    adapter: dict[str, Any], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["methods"]["lora"]["adapter"] = adapter
    lines = faults_of(valid, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(f"methods.lora.adapter.{expected}")


COMMAND = "serve {model} --port {port}"
ELSEWHERE: list[tuple[str, Any, str]] = [
    ("grid.seeds", [2**32], "grid.seeds[0]: 4294967296 should be less than 4294967296"),
    ("grid.seeds", [-1], "grid.seeds[0]: -1 should be greater than or equal to 0"),
    ("grid.tuning", REMOVED, "grid.tuning: is missing; write `tuning: []` for none"),
    ("grid.prompting", REMOVED, "grid.prompting: is missing; write `prompting: []` for none"),
    ("grid.seeds", REMOVED, "grid.seeds: is missing; write `seeds: []` for none"),
    ("inference.load_test", REMOVED, "inference.load_test: is missing; write `load_test: {"),
    ("inference.load_test.tuning", REMOVED, "inference.load_test.tuning: is missing; write"),
    ("inference.train_size", REMOVED, "inference.train_size: None is none of grid.train_sizes"),
    ("hardware.usd_per_hour", INF, "hardware.usd_per_hour: inf should be a finite number"),
    ("inference.hold_s", INF, "inference.hold_s: inf should be a finite number"),
    ("inference.hold_s", 1e300, "inference.hold_s: 1e+300 should be less than or equal to 2592000"),
    ("inference.objective", {"latency_p90_s": INF}, "inference.objective.latency_p90_s: inf"),
    ("inference.demand_rps", NAN, "inference.demand_rps: nan should be a finite number"),
    ("evaluation.generation", {"max_new_tokens": 0}, "evaluation.generation.max_new_tokens: 0"),
    ("evaluation.generation", {"max_new_tokens": "x"}, "evaluation.generation.max_new_tokens: 'x'"),
    ("models.tiny.attn_implementation", "flash", "models.tiny.attn_implementation: 'flash' is"),
    ("models.tiny.attn_implementation", "me/kernel", "models.tiny.attn_implementation: 'me/kernel'"
     " is code from the Hub, which is never run here"),
    ("models.tiny.device_map", "gpu", "models.tiny.device_map: 'gpu' is unknown"),
    ("inference.servers", {"s": {"command": COMMAND + " 'x"}}, "inference.servers.s.command: no"
     " closing quotation; close each quote"),
    ("inference.servers", {"s": {"command": COMMAND + " {port:d}"}}, "inference.servers.s.command:"
     " {port:d} is no name; write a name alone"),
    ("templates.short.prompt", "{text:>10}", "templates.short.prompt: {text:>10} is no name"),
    ("templates.short.prompt", "{text!r}", "templates.short.prompt: {text!r} is no name"),
    ("templates.short.prompt", "{text.x}", "templates.short.prompt: {text.x} is no name"),
    ("templates.short.prompt", "{text} {0}", "templates.short.prompt: {0} is no name"),
    ("templates.short.prompt", "{text} {}", "templates.short.prompt: {} is no name"),
    ("datasets.reviews.columns", {"text": "a", "label": "a"}, "datasets.reviews.columns.text: 'a'"
     " is the column of the label too"),
    ("datasets.reviews.columns", {"label": "l", "hint": "l"}, "datasets.reviews.columns.hint: 'l'"
     " is the column of the label too"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "expected"), ELSEWHERE)
def test_value_elsewhere(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    lines = faults_of(valid, tmp_path)
    assert lines[0].startswith(expected)


GENERATED: list[tuple[str, Any, str]] = [
    ("methods.few_shot.shots", 41, "methods.few_shot.shots: 41 is more than datasets.reviews.rows"),
    ("datasets.reviews.test_rows", 21, "datasets.reviews.test_rows: 21 is more than rows.test, 20"),
    ("datasets.reviews.validation_rows", 40, "datasets.reviews.validation_rows: 40 is more than"),
    ("grid.train_sizes", [41, 1.0], "grid.train_sizes[0]: 41 is 41 of the 40 training rows"),
    ("grid.train_sizes", [0.01, 1.0], "grid.train_sizes[0]: 0.01 is 0 of the 40 training rows"),
    ("evaluation.forgetting", {"dataset": "reviews", "rows": 21}, "evaluation.forgetting.rows: 21"),
]


@pytest.mark.parametrize(("place", "value", "expected"), GENERATED)
def test_more_rows_than_a_generator_makes(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    reviews = valid["datasets"]["reviews"]
    del reviews["path"]
    reviews |= {"generator": "tunebench.demo.reviews", "rows": {"train": 40, "test": 20}}
    assert faults_of(valid, tmp_path) == []
    edit(valid, place, value)
    (line,) = faults_of(valid, tmp_path)
    assert line.startswith(expected)
