"""A search trains each setting on the same rows and keeps the best on validation rows."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunebench import evaluation, models, training
from tunebench.config.schema import Evaluation, PeftMethod
from tunebench.prompts import Prompt
from tunebench.training import Job, search

LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
SETTINGS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "logging_steps": 2,
    "max_grad_norm": 0.0,
    "learning_rate": 1e-6,
}
RATES = [1e-5, 0.02, 3e37]  # too low, right, and too high to end in a number


@pytest.fixture
def make_job(
    tmp_path: Path, tiny: models.Base, make_prompts: Callable[..., list[Prompt]]
) -> Callable[..., Job]:
    def make(name: str = "run", rates: Any = RATES, **changed: Any) -> Job:
        given: dict[str, Any] = {
            "name": f"tiny/reviews/{name}",
            "base": tiny,
            "method": PeftMethod(
                kind="peft", adapter=LORA, search={"learning_rate": rates} if rates else {}
            ),
            "settings": SETTINGS,
            "seed": 0,
            "prompts": make_prompts(12) + make_prompts(4, split="validation", start=40),
            "checkpoints": tmp_path / "checkpoints" / name,
            "output": tmp_path / name,
        }
        return Job(**given | changed)

    return make


def digest(job: Job) -> str:
    return hashlib.sha256((job.output / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_every_combination_is_a_trial() -> None:
    found = search.trials({"learning_rate": [1, 2], "weight_decay": [0, 3]})
    assert [tuple(trial.values()) for trial in found] == [(1, 0), (1, 3), (2, 0), (2, 3)]


def test_the_best_on_validation_rows_is_kept(
    make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    outcome = training.train(job)
    assert outcome.chosen == {"learning_rate": 0.02}
    found = outcome.metrics
    assert found["chosen_trial"] == 2
    trials = found["search"]
    assert [trials[number]["learning_rate"] for number in "123"] == RATES
    assert trials["2"]["validation_loss"] < trials["1"]["validation_loss"]
    assert trials["2"]["validation_loss"] == found["validation_loss"]
    assert trials["3"]["diverged"]
    assert "tiny/reviews/run, trial 3: diverged at step" in capsys.readouterr().err
    seconds = [trials[number]["device_s"] for number in "12"]
    assert found["search_device_s"] == pytest.approx(sum(seconds), rel=1e-4)
    assert found["device_s"] == seconds[1]
    assert not job.checkpoints.exists()

    alone = make_job("alone", None, settings=SETTINGS | {"learning_rate": 0.02})
    expected = training.train(alone)
    assert digest(job) == digest(alone)
    assert outcome.history == expected.history
    assert found["loss"] == expected.metrics["loss"]


def test_killed_search_trains_no_trial_twice(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = make_job("whole", RATES[:2]), make_job("killed", RATES[:2])
    expected = training.train(whole)
    once, trained = training._train_once, []

    def dies_at_the_second(job: Job) -> Any:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(job.name)
        return once(job)

    monkeypatch.setattr(training, "_train_once", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        training.train(killed)
    assert not killed.output.exists()
    monkeypatch.setattr(training, "_train_once", lambda job: trained.append(job.name) or once(job))
    found = training.train(killed)
    assert trained == ["tiny/reviews/killed, trial 1", "tiny/reviews/killed, trial 2"]
    assert digest(killed) == digest(whole)
    assert found.history == expected.history
    assert found.chosen == expected.chosen


def test_search_without_a_winner_is_a_result(make_job: Callable[..., Job]) -> None:
    job = make_job(rates=[3e37, 2e37])
    found = training.train(job).metrics
    assert found["diverged"]
    how = evaluation.Answering(["positive", "negative"], Evaluation(), {})
    answers = evaluation.evaluate(job.base, job.method, how, job.prompts, job.output)
    assert answers.metrics["diverged"]
    assert answers.predictions == []
