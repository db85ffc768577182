"""Packages and devices that the grid needs and this machine lacks are named before any work."""

import copy
from pathlib import Path
from typing import Any

import pytest
from faults import edit
from projects import VALID

from tunebench import config
from tunebench.config import machine, trainer_fields


def faults(**edits: Any) -> list[str]:
    params = copy.deepcopy(VALID)
    for place, value in edits.items():
        edit(params, place.replace("__", "."), value)
    return list(machine.faults(config.checked(params)))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def test_gpu_is_seen_by_its_device_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not machine.has_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()  # the driver's own, which is there without a GPU too
    assert not machine.has_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert machine.has_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not machine.has_gpu(tmp_path)


@pytest.mark.usefixtures("no_gpu")
def test_absent_device() -> None:
    assert faults(models__tiny__device_map="auto") == []
    assert faults(models__tiny__device_map="cuda:0") == [
        "models.tiny.device_map: 'cuda:0' needs a GPU, and this machine shows none; remove it"
    ]
    assert faults(training__fp16=True, methods__lora__training={"tf32": True}) == [
        "training.fp16: needs a GPU, and this machine shows none; remove it",
        "methods.lora.training.tf32: needs a GPU, and this machine shows none; remove it",
    ]


def test_absent_package() -> None:
    assert faults(models__tiny__attn_implementation="flash_attention_2") == [
        "models.tiny.attn_implementation: 'flash_attention_2' needs a package:"
        " pip install flash-attn --no-build-isolation, or use sdpa"
    ]
    assert faults(
        training__optim="schedule_free_adamw", training__deepspeed={"zero_optimization": {}}
    ) == [
        "training.optim: 'schedule_free_adamw' needs a package: pip install schedulefree",
        "training.deepspeed: needs a package: pip install deepspeed",
    ]
    assert faults(training__optim="adamw_8bit") == []


def test_only_the_grid_is_asked_for() -> None:
    assert faults(methods__full={"kind": "full", "training": {"optim": "lomo"}}) == []


def test_values_of_a_search() -> None:
    params = copy.deepcopy(VALID)
    params["datasets"]["reviews"]["validation_rows"] = 4
    params["methods"]["lora"]["search"] = {"optim": ["adamw_torch", "lomo"]}
    assert list(machine.faults(config.checked(params))) == [
        "methods.lora.search.optim: 'lomo' needs a package: pip install lomo-optim"
    ]


def test_every_optimizer_is_built_in_or_has_a_package() -> None:
    built_in = ("adamw_torch", "adafactor", "sgd", "adagrad", "rmsprop")
    bitsandbytes = ("8bit", "32bit", "bnb", "ademamix")
    names = trainer_fields.training_fields()["optim"].words
    assert len(names) >= 30
    for name in names:
        known = name.startswith((*built_in, *machine.OPTIMIZERS))
        assert known or name.endswith(bitsandbytes), name
