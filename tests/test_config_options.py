"""Options that libraries take, and what is refused of them; the method's own come last."""

from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of

from tunebench import config
from tunebench.config.options import merge

FAULTS: list[tuple[str, Any, str]] = [
    (
        "methods.lora.adapter.peft_type",
        "LOAR",
        "methods.lora.adapter.peft_type: 'LOAR' is no PEFT method; did you mean 'LORA'?",
    ),
    (
        "methods.lora.adapter.lora_alfa",
        4,
        "methods.lora.adapter.lora_alfa: unknown key; did you mean 'lora_alpha'?",
    ),
    ("methods.lora.adapter.r", "four", "methods.lora.adapter.r: 'four' is not of type int"),
    (
        "methods.lora.adapter",
        {"peft_type": "POLY", "target_modules": ["q_proj"]},
        "methods.lora.adapter.peft_type: 'POLY' can not be trained here: each row must name its"
        " task, and a run has one; use LORA",
    ),
    (
        "methods.lora.adapter.task_type",
        "SEQ_CLS",
        "methods.lora.adapter.task_type: 'SEQ_CLS' is not what is trained here; remove it",
    ),
    (
        "methods.lora.adapter.inference_mode",
        True,
        "methods.lora.adapter.inference_mode: true trains nothing; remove it",
    ),
    (
        "methods.lora.adapter.init_lora_weights",
        "corda",
        "methods.lora.adapter.init_lora_weights: 'corda' is computed from data before training,"
        " which is not done here; remove it, or choose pissa or olora",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "ADAMSS", "target_modules": ["q_proj"], "use_asa": True},
        "methods.lora.adapter.use_asa: what it measures is lost in a restart; use ADALORA",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "CPT", "cpt_token_ids": [1], "cpt_tokens_type_mask": [3]},
        "methods.lora.adapter.cpt_tokens_type_mask: ends in type 3, where a multiple of 4 (an"
        " answer) must be: no token of the rows would count in the loss",
    ),
    (
        "methods.lora.training.learning_rte",
        0.1,
        "methods.lora.training.learning_rte: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "training.learning_rte",
        1.0,
        "training.learning_rte: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "training.learning_rate",
        "high",
        "training.learning_rate: 'high' is not of type float",
    ),
    ("training.adam_beta1", "x", "training.adam_beta1: 'x' is not of type float"),
    ("training.bf16", "yes", "training.bf16: 'yes' is not of type bool"),
    ("training.seed", 1, "training.seed: cannot be set here; seeds are an axis: grid.seeds"),
    (
        "methods.lora.training.output_dir",
        "x",
        "methods.lora.training.output_dir: cannot be set here; each run has its own folder",
    ),
    (
        "training.loss_on",
        "completions",
        "training.loss_on: 'completions' is unknown; did you mean 'completion'?",
    ),
    (
        "training.packing",
        "concatenate",
        "training.packing: 'concatenate' is unknown; did you mean 'concat'?",
    ),
    ("training.packing", 8, "training.packing: 8 is unknown; choose from: concat, false, true"),
    (
        "training.packing_length",
        0,
        "training.packing_length: 0 should be greater than or equal to 1",
    ),
    (
        "training.launch",
        {"num_processes": 2, "confg": "x.yaml"},
        "training.launch.confg: unknown key; did you mean 'config'?",
    ),
    (
        "training.launch",
        {"num_processes": 0},
        "training.launch.num_processes: 0 should be greater than or equal to 1",
    ),
    ("training.launch", 2, "training.launch: 2 is no mapping; write {num_processes: 2}"),
    ("training.packin", "concat", "training.packin: unknown key; did you mean 'packing'?"),
    (
        "methods.lora.search",
        {"learning_rat": [1e-3]},
        "methods.lora.search.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "methods.lora.search",
        {"learning_rate": [1e-3, "high"]},
        "methods.lora.search.learning_rate: 'high' is not of type float",
    ),
    (
        "methods.lora.search",
        {"optim": ["sgdd"]},
        "methods.lora.search.optim: 'sgdd' is unknown; did you mean 'sgd'?",
    ),
    (
        "methods.lora.search",
        {"learning_rate": 1e-3},
        "methods.lora.search.learning_rate: 0.001 is no list of values to try; write [1e-4, 1e-3]",
    ),
    (
        "methods.lora.search",
        {"seed": [1, 2]},
        "methods.lora.search.seed: cannot be set here; seeds are an axis: grid.seeds",
    ),
]

ENUMERATIONS: list[tuple[str, Any, str]] = [
    ("training.optim", "adamw_torchh", "'adamw_torchh' is unknown; did you mean 'adamw_torch'?"),
    ("training.optim", 5, "5 is unknown; choose from: adafactor, "),
    ("training.lr_scheduler_type", "cosin", "'cosin' is unknown; did you mean 'cosine'?"),
    ("training.save_strategy", "epochs", "'epochs' is unknown; did you mean 'epoch'?"),
    ("training.eval_strategy", "step", "'step' is unknown; did you mean 'steps'?"),
    ("training.log_level", "warn", "'warn' is unknown; did you mean 'warning'?"),
    (
        "training.train_sampling_strategy",
        "seqential",
        "'seqential' is unknown; did you mean 'sequential'?",
    ),
    ("methods.lora.adapter.bias", "alll", "'alll' is unknown; did you mean 'all'?"),
    (
        "methods.lora.adapter.init_lora_weights",
        "gausian",
        "'gausian' is unknown; did you mean 'gaussian'?",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4, "prompt_tuning_init": "TXT"},
        "prompt_tuning_init: 'TXT' is unknown; did you mean 'TEXT'?",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "ROAD", "variant": "road_3"},
        "variant: 'road_3' is unknown; did you mean 'road_",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "MISS", "bias": "non"},
        "bias: 'non' is unknown; did you mean 'none'?",
    ),
    (
        "methods.lora.adapter.velora_config",
        {"init_type": "rand"},
        "init_type: 'rand' is unknown; did you mean 'random'?",
    ),
]

MAPPINGS: list[tuple[str, Any, str]] = [
    ("training.lr_scheduler_kwargs", [1], "lr_scheduler_kwargs: [1] is not of type str | dict"),
    ("training.optim_args", {"momentum": 0.9}, "is not of type str"),
    (
        "training.optim_args",
        "momentum",
        "optim_args: 'momentum' are no pairs; write momentum=0.9,nesterov=true",
    ),
    (
        "training.accelerator_config",
        {"even_batches": "yes"},
        "accelerator_config.even_batches: 'yes' is not of type bool",
    ),
    (
        "training.parallelism_config",
        {"tp_size": 2},
        "parallelism_config: cannot be set here; it takes an object of accelerate, which YAML"
        " cannot hold; see launch",
    ),
    ("training", None, "training: None should be a valid dictionary"),
    ("training.launch", [2], "training.launch: [2] is no mapping; write {num_processes: 2}"),
    ("evaluation.generation", [], "evaluation.generation: [] should be a valid dictionary"),
    ("methods.lora.adapter", None, "methods.lora.adapter: None should be a valid dictionary"),
    (
        "methods.lora.adapter.velora_config",
        True,
        "methods.lora.adapter.velora_config: True is not of type dict",
    ),
    ("methods.lora.adapter.rank_pattern", {"q_proj": 2}, ""),
    (
        "methods.lora.adapter.target_modules",
        ["q_proj", 3],
        "methods.lora.adapter.target_modules[1]: 3 is not of type str",
    ),
    (
        "methods.lora.adapter.runtime_config",
        {"ephemeral_gpu_offload": True},
        "runtime_config: cannot be set here: PEFT takes an object there, which YAML cannot hold;"
        " remove it",
    ),
    (
        "methods.lora.adapter.eva_config",
        {"rho": 2.0},
        "eva_config: cannot be set here: it is for initial weights that are computed from data,"
        " which is not done here; remove it",
    ),
    (
        "methods.lora.adapter.loftq_config",
        {"loftq_bits": 4},
        "loftq_config: does nothing without init_lora_weights: loftq; set one or the other",
    ),
    (
        "methods.lora.adapter.init_lora_weights",
        "loftq",
        "loftq_config: loftq_bits is missing, which init_lora_weights: loftq needs",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "CPT", "cpt_tokens_type_mask": ["a", 1]},
        "cpt_tokens_type_mask[0]: 'a' is not of type int",
    ),
]


@pytest.mark.parametrize(("place", "value", "expected"), FAULTS)
def test_fault_is_named(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    assert expected in faults_of(valid, tmp_path)


@pytest.mark.parametrize(("place", "value", "expected"), ENUMERATIONS + MAPPINGS)
def test_fault_is_told(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    told = faults_of(valid, tmp_path)
    assert len(told) == bool(expected)
    assert expected in "".join(told)


def test_merge_goes_key_by_key() -> None:
    default = {"weight_decay": 0.1, "lr_scheduler_kwargs": {"a": 1, "b": 2}}
    own = {"lr_scheduler_kwargs": {"b": 3}, "learning_rate": 1.0}
    assert merge(default, own) == {
        "weight_decay": 0.1,
        "lr_scheduler_kwargs": {"a": 1, "b": 3},
        "learning_rate": 1.0,
    }
    assert merge({"a": {"x": 1}}, {"a": None}) == {"a": None}
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
    assert merge() == {}
    assert default == {"weight_decay": 0.1, "lr_scheduler_kwargs": {"a": 1, "b": 2}}


def test_the_method_overrides_the_data_set_which_overrides_the_default(
    valid: dict[str, Any], project: Any
) -> None:
    valid["training"] |= {"learning_rate": 1.0, "weight_decay": 0.1, "warmup_steps": 1}
    valid["datasets"]["reviews"]["training"] = {"learning_rate": 2.0, "weight_decay": 0.2}
    valid["methods"]["lora"]["training"] = {"learning_rate": 3.0}
    project.write_params(valid)
    params = config.load()
    merged = params.training_for(params.dataset("reviews"), params.tuning_method("lora"))
    assert {key: merged[key] for key in ("learning_rate", "weight_decay", "warmup_steps")} == {
        "learning_rate": 3.0,
        "weight_decay": 0.2,
        "warmup_steps": 1,
    }
