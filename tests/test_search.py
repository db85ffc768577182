"""A search trains each setting on the same rows and keeps the best on validation rows."""

from typing import Any

import pytest
from jobs import LORA, MakeJob, MakePrompts, digest

from tunebench import evaluation, training
from tunebench.config.schema import Evaluation, PeftMethod
from tunebench.training import Job, search

SETTINGS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "logging_steps": 2,
    "max_grad_norm": 0.0,
    "learning_rate": 1e-6,
}
RATES = [1e-5, 0.02, 3e37]  # too low, right, and too high to end in a number


@pytest.fixture
def make_job(make_job: MakeJob, make_prompts: MakePrompts) -> MakeJob:
    rows = make_prompts(12) + make_prompts(4, split="validation", start=40)

    def make(name: str = "run", rates: Any = RATES, **fields: Any) -> Job:
        searched = {"learning_rate": rates} if rates else {}
        method = PeftMethod(kind="peft", adapter=LORA, search=searched)
        return make_job(name, method=method, **{"settings": SETTINGS, "prompts": rows} | fields)

    return make


def test_every_combination_is_a_trial() -> None:
    found = search.trials({"learning_rate": [1, 2], "weight_decay": [0, 3]})
    assert [tuple(trial.values()) for trial in found] == [(1, 0), (1, 3), (2, 0), (2, 3)]


def test_the_best_on_validation_rows_is_kept(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
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
    seconds = [trials[number]["machine_s"] for number in "123"]  # the diverged one too
    assert min(seconds) > 0
    assert found["machine_s"] == pytest.approx(sum(seconds), rel=1e-4)
    assert seconds[1] >= found["load_s"] + found["train_s"] + found["save_s"]
    assert not job.checkpoints.exists()

    alone = make_job("alone", None, settings=SETTINGS | {"learning_rate": 0.02})
    expected = training.train(alone)
    assert digest(job) == digest(alone)
    assert outcome.history == expected.history
    assert found["loss"] == expected.metrics["loss"]


@pytest.mark.slow
def test_killed_search_trains_no_trial_twice(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
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


def test_search_without_a_winner_is_a_result(make_job: MakeJob) -> None:
    job = make_job(rates=[3e37, 2e37])
    found = training.train(job).metrics
    assert found["diverged"]
    how = evaluation.Answering(["positive", "negative"], Evaluation(), {})
    answers = evaluation.evaluate(job.base, job.method, how, job.prompts, job.output)
    assert answers.metrics["diverged"]
    assert answers.predictions == []
