"""Secrets, publishing and other folders have no place in params.yaml, and are never repeated."""

from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of

from tunebench.config import trainer_fields
from tunebench.config.training_values import MANAGED_TRAINING_FIELDS

KEY = "hf_" + "aB3" * 11
SERVER = {"command": "serve {model} --port {port}"}

REFUSED: list[tuple[str, Any, str]] = [
    ("hub_token", KEY, "set the environment variable HF_TOKEN"),
    ("push_to_hub", True, "it publishes"),
    ("hub_model_id", "me/model", "it publishes"),
    ("hub_strategy", "all_checkpoints", "it publishes"),
    ("hub_private_repo", True, "it publishes"),
    ("trackio_space_id", "me/space", "trackers are named under report_to"),
    ("run_name", "../../x", "each run is named by what it is"),
    ("output_dir", "/tmp/elsewhere", "each run has its own folder"),
    ("resume_from_checkpoint", "/tmp/elsewhere", "a killed run resumes by itself"),
    ("fsdp_config", "fsdp.json", "write its keys here, so that DVC tracks them"),
    ("accelerator_config", "/etc/accelerate.json", "write its keys here"),
    ("deepspeed", "zero3.json", "write its keys here"),
    ("deepspeed", {"wandb": {"enabled": True}}, "trackers are named under report_to"),
]
LEVELS = ("training", "datasets.reviews.training", "methods.lora.training")


@pytest.mark.parametrize(("key", "value", "reason"), REFUSED)
def test_field_is_refused_at_every_level(
    key: str, value: Any, reason: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    for level in LEVELS:
        edit(valid, f"{level}.{key}", value)
    edit(valid, "methods.lora.search", {key: [value]})
    edit(valid, "datasets.reviews.validation_rows", 4)
    lines = faults_of(valid, tmp_path)
    for level in (*LEVELS, "methods.lora.search"):
        (line,) = (line for line in lines if line.startswith(f"{level}.{key}"))
        assert reason in line
    assert KEY not in "".join(lines)


def test_values_that_set_nothing_are_accepted(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["training"] |= {"push_to_hub": False, "hub_token": None, "report_to": "none"}
    assert faults_of(valid, tmp_path) == []


def test_every_field_that_publishes_is_refused() -> None:
    """A field of a later transformers that looks like one of these has to be decided too."""
    suspicious = ("hub", "token", "trackio", "report", "dir", "project", "run_name", "checkpoint")
    decided = {
        "fp16_full_eval", "activation_checkpointing", "activation_checkpointing_kwargs",
        "gradient_checkpointing", "gradient_checkpointing_kwargs", "enable_jit_checkpoint",
        "restore_callback_states_from_checkpoint", "include_num_input_tokens_seen",
        "average_tokens_across_devices", "report_to",
    }  # fmt: skip
    all_fields = trainer_fields.training_fields()
    fields = [name for name in all_fields if any(word in name for word in suspicious)]
    assert len(fields) >= 15
    assert set(fields) - decided <= set(MANAGED_TRAINING_FIELDS)


@pytest.mark.parametrize(
    ("place", "value", "secret", "remedy"),
    [
        ("study", f"with {KEY}", KEY, "HF_TOKEN"),
        ("models.tiny.path", f"https://me:{KEY}@hub.example/x", KEY, "HF_TOKEN"),
        ("inference.servers.s.command", "serve {model} --port {port} --api-key abc123", "abc123",
         "VLLM_API_KEY"),
        ("inference.servers.s.command", "serve {model} --port {port} --api-key='abc123'", "abc123",
         "VLLM_API_KEY"),
        ("inference.servers.s.command", "env VLLM_API_KEY=abc123 serve {model} {port}", "abc123",
         "VLLM_API_KEY"),
        ("inference.servers.s.command", "serve {model} --port {port} --hf-token abc123", "abc123",
         "VLLM_API_KEY"),
    ],
)  # fmt: skip
def test_secret_is_refused_and_hidden(
    place: str, value: str, secret: str, remedy: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["inference"]["servers"] = {"s": dict(SERVER)}
    edit(valid, place, value)
    lines = faults_of(valid, tmp_path)
    assert any(line.startswith(f"{place}: holds a secret") and remedy in line for line in lines)
    assert secret not in "".join(lines)


@pytest.mark.parametrize(
    "command",
    [
        "serve {model} --port {port} --cb-max-batch-tokens 1024 --max-num-batched-tokens 8192",
        "serve {model} --port {port} --tokenizer-mode auto --skip-tokenizer-init",
        "serve {model} --port {port} --api-key {port}",
    ],
)
def test_options_without_a_secret_are_accepted(
    command: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["inference"]["servers"] = {"s": {"command": command}}
    assert faults_of(valid, tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"url": "http://me:secret99@h:8000"}, "url: holds a user or a password"),
        ({"url": "http://secret99@h:8000"}, "url: holds a user or a password"),
        ({"url": "http://h:8000/v1?key=secret99"}, "url: is no address of a server"),
        ({"url": "ftp://h"}, "url: is no address of a server"),
        ({"url": "http://h:port"}, "url: is no address of a server"),
        ({"url": "http://h", "api_key_env": "sk-secret99"}, "api_key_env: is no variable's name"),
        ({"url": "http://h", "ready": "health"}, "ready: 'health' is no path"),
    ],
)
def test_address_of_a_server(
    settings: dict[str, str], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["inference"]["servers"] = {"s": {"model": "m"} | settings}
    lines = faults_of(valid, tmp_path)
    assert lines[0].startswith(f"inference.servers.s.{expected}")
    assert "secret99" not in "".join(lines)


def test_prompts_may_be_about_secrets(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["datasets"]["reviews"]["instruction"] = f"Is {KEY} a token?"
    assert faults_of(valid, tmp_path) == []


def test_code_and_tokens_of_a_tokenizer_are_refused(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["methods"]["lora"]["adapter"] = {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": 4,
        "prompt_tuning_init": "TEXT",
        "prompt_tuning_init_text": "x",
        "tokenizer_name_or_path": "model",
        "tokenizer_kwargs": {"trust_remote_code": True, "token": KEY},
    }
    assert [line.split(": ")[0] for line in faults_of(valid, tmp_path)] == [
        "methods.lora.adapter.tokenizer_kwargs.trust_remote_code",
        "methods.lora.adapter.tokenizer_kwargs.token",
    ]
