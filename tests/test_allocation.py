"""AdaLoRA takes ranks away while it trains, and goes on doing so after a restart."""

import dataclasses
from typing import Any

import pytest
from jobs import MakeJob, digest

from tunebench import models, training
from tunebench.config.schema import PeftMethod
from tunebench.errors import TrainingError
from tunebench.prompts import batching
from tunebench.training import Job
from tunebench.training.adalora import FILE

ADALORA = {
    "peft_type": "ADALORA",
    "init_r": 6,
    "target_r": 3,
    "tinit": 1,
    "tfinal": 3,
    "target_modules": ["q_proj", "v_proj"],
}
MODULES, STEPS = 4, 10
SETTINGS = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.02,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 1,
}


@pytest.fixture
def make_job(make_job: MakeJob) -> MakeJob:
    def make(name: str, **changed: Any) -> Job:
        method = PeftMethod(kind="peft", adapter=ADALORA | changed)
        return make_job(name, method=method, settings=SETTINGS)

    return make


def ranks(job: Job) -> list[int]:
    """Ranks that are left to each matrix."""
    from safetensors.torch import load_file

    weights = load_file(job.output / "adapter_model.safetensors")
    return [int((w != 0).sum()) for name, w in sorted(weights.items()) if "lora_E" in name]


def test_ranks_are_shared_out(make_job: MakeJob) -> None:
    import torch

    job = make_job("whole")
    training.train(job)
    left = ranks(job)
    assert len(left) == MODULES
    assert sum(left) == ADALORA["target_r"] * MODULES
    restored = models.load(job.base, job.method, trained=job.output)
    assert restored.peft_config["default"].total_step == STEPS
    untouched = models.load(job.base, PeftMethod(kind="peft", adapter=ADALORA))
    ids = torch.tensor([[1, 9, 20, 31]])
    with torch.inference_mode():
        assert not torch.equal(restored(ids).logits, untouched(ids).logits)


@pytest.mark.parametrize("batch", [4, 9], ids=["while ranks are taken", "when they are fixed"])
def test_killed_run_takes_away_the_same_ranks(
    batch: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = make_job("whole"), make_job("killed")
    expected = training.train(whole)
    collate, calls = batching.Collator.__call__, []

    def trapped(self: batching.Collator, rows: Any) -> Any:
        calls.append(rows)
        if len(calls) == batch:
            raise KeyboardInterrupt
        return collate(self, rows)

    monkeypatch.setattr(batching.Collator, "__call__", trapped)
    with pytest.raises(KeyboardInterrupt):
        training.train(killed)
    monkeypatch.undo()
    (kept,) = killed.checkpoints.glob("checkpoint-*")
    assert int(kept.name.split("-")[1]) >= batch - 3
    assert FILE in (kept / "whole.json").read_text()
    resumed = training.train(killed)
    assert resumed.history == expected.history
    assert digest(killed) == digest(whole)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (
            {"tinit": 5, "tfinal": 5},
            "tinit (5) and tfinal (5) leave none of 10 steps to share out ranks; lower them",
        ),
        (
            {"target_r": 6},
            "target_r (6) is no less than init_r (6): no rank would be taken away; lower it, or"
            " use LORA",
        ),
    ],
)
def test_schedule_without_effect(changed: dict[str, int], fault: str, make_job: MakeJob) -> None:
    with pytest.raises(TrainingError) as caught:
        training.train(make_job("odd", **changed))
    assert str(caught.value) == f"tiny/reviews/odd: adapter: {fault}"


def test_given_schedule_is_kept(make_job: MakeJob) -> None:
    job = make_job("longer", total_step=100)
    training.train(dataclasses.replace(job, settings=job.settings | {"max_steps": 2}))
    restored = models.load(job.base, job.method, trained=job.output)
    assert restored.peft_config["default"].total_step == 100
