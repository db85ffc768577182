"""`lr_scheduler_kwargs` are those of the schedule that a run has, whatever level names it."""

from pathlib import Path
from typing import Any

import pytest
from faults import faults_of

SCHEDULES: list[tuple[dict[str, Any], str]] = [
    ({"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-5}}, ""),
    (
        {"lr_scheduler_type": "cosine_with_min_lr"},
        "methods.lora.training.lr_scheduler_kwargs: lr_scheduler_type cosine_with_min_lr needs one"
        " of min_lr and min_lr_rate",
    ),
    (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"powr": 2.0}},
        "training.lr_scheduler_kwargs.powr: unknown key; did you mean 'power'?",
    ),
    (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"num_cycles": 2}},
        "training.lr_scheduler_kwargs.num_cycles: is none of lr_scheduler_type polynomial;"
        " choose from: lr_end, power",
    ),
    (
        {"lr_scheduler_kwargs": {"num_cycles": 2}},
        "training.lr_scheduler_kwargs.num_cycles: lr_scheduler_type linear takes none;"
        " set lr_scheduler_kwargs: null",
    ),
    (
        {"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"num_cycles": 2}},
        "training.lr_scheduler_kwargs.num_cycles: lr_scheduler_type constant takes none;"
        " set lr_scheduler_kwargs: null",
    ),
    (
        {"lr_scheduler_type": "warmup_stable_decay"},
        "methods.lora.training.lr_scheduler_kwargs: num_decay_steps is missing, which"
        " lr_scheduler_type warmup_stable_decay needs",
    ),
    (
        {"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": {"patience": 3}},
        "training.lr_scheduler_type: greedy follows the validation loss: set eval_strategy",
    ),
]


@pytest.mark.parametrize(("given", "expected"), SCHEDULES)
def test_schedule_takes_its_own_settings(
    given: dict[str, Any], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["training"] |= given
    assert faults_of(valid, tmp_path) == ([expected] if expected else [])


def test_schedule_of_another_level(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["training"] |= {
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": 1e-5},
    }
    own = valid["methods"]["lora"]["training"]
    own["lr_scheduler_type"] = "linear"
    assert faults_of(valid, tmp_path) == [
        "training.lr_scheduler_kwargs.min_lr: lr_scheduler_type linear takes none;"
        " set lr_scheduler_kwargs: null"
    ]
    own["lr_scheduler_kwargs"] = None
    assert faults_of(valid, tmp_path) == []
