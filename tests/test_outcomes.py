"""Trainings that end without a model: out of memory, diverged, with no room on the disk."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob

from tunebench import evaluation, paths, results, timing, training
from tunebench.config.inference import Timing
from tunebench.config.schema import Evaluation, FullMethod
from tunebench.errors import TrainingError
from tunebench.models import outcomes
from tunebench.training import Job
from tunebench.training.checkpoints import Checkpoints
from tunebench.training.job import Ended

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.01,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 2,
}
HOW = evaluation.Answering(["positive", "negative"], Evaluation(), {})


@pytest.fixture
def make_job(make_job: MakeJob) -> MakeJob:
    return partial(make_job, "lora", settings=SETTINGS)


def test_run_that_diverges_stops_and_is_a_result(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = SETTINGS | {"learning_rate": 3e37, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    job = make_job(settings=wild, method=FullMethod(kind="full"))
    outcome = training.train(job)
    step = outcome.metrics["step"]
    assert 1 < step < 6
    failed = {"diverged": True, "step": step, "learning_rate": 3e37}
    assert outcome.metrics.pop("machine_s") > 0  # a failure costs too
    assert outcome.metrics == {"rows": 16} | failed
    assert [entry["step"] for entry in outcome.history] == list(range(1, step))
    assert capsys.readouterr().err.endswith(
        f"tiny/reviews/lora: diverged at step {step}, learning rate 3e+37; lower learning_rate or"
        " max_grad_norm. Other runs continue.\n"
    )
    assert not job.checkpoints.exists()
    assert [path.name for path in job.output.iterdir()] == ["failed.json"]

    answers = evaluation.evaluate(job.base, job.method, HOW, job.prompts, job.output)
    assert answers == evaluation.Outcome(failed, [], job.output)
    timed = timing.time_inference(
        job.base, job.method, job.prompts, Timing(), labels=HOW.labels, trained=job.output
    )
    assert timed == failed


def test_last_step_may_be_the_one_that_diverges(make_job: MakeJob) -> None:
    wild = {"learning_rate": 3e38, "max_grad_norm": 0.0, "max_steps": 1, "save_strategy": "no"}
    outcome = training.train(make_job(settings=SETTINGS | wild))
    assert outcome.metrics["diverged"]
    assert outcome.metrics["step"] == 1


def test_later_run_takes_the_place_of_a_failed_one(make_job: MakeJob) -> None:
    job = make_job()
    results.write(paths.failure(job.output), {"out_of_memory": True, "peak_memory_bytes": 1})
    training.train(job)
    assert outcomes.failure(job.output) is None


SCARCE = """
import resource, sys
from pathlib import Path
from tunebench import models, training
from tunebench.config.schema import Model, PeftMethod
from tunebench.prompts import Prompt

folder, model, auto = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "auto"
adapter = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
prompts = [Prompt(str(i), "a dull story " * 20, "positive", split="train") for i in range(512)]
def job(name, batch, **more):
    settings = {"max_steps": 1, "per_device_train_batch_size": batch, "logging_steps": 1,
                "save_strategy": "no"} | more
    return training.Job("tiny/reviews/lora", models.Base(Path(model), "0", Model(path=model)),
        PeftMethod(kind="peft", adapter=adapter), settings, 0, prompts,
        folder / f"{name}-checkpoints", folder / name)
training.train(job("small", 8))  # all that is loaded once is loaded now
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000,) * 2)
print(training.train(job("large", 512, auto_find_batch_size=auto)).metrics)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's own memory so")
@pytest.mark.parametrize("auto", [False, True])
def test_memory_that_ends(auto: bool, tmp_path: Path, model_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCARCE, tmp_path, model_folder,
         "auto" if auto else "as_asked"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout.splitlines()[-1])
    if auto:
        assert found["steps"] == 1
        assert found["sequences"] == 512
        assert found["tokens"] > 512 * 20  # all of them in the one step, in parts
        assert (tmp_path / "large" / "adapter_model.safetensors").exists()
    else:
        assert found["out_of_memory"]
        assert found["peak_memory_bytes"] > 1e8
        assert "out of memory at" in done.stderr
        assert "raise gradient_accumulation_steps" in done.stderr
        assert results.read(tmp_path / "large" / "failed.json")["out_of_memory"]


def test_parts_of_a_batch_train_as_the_whole(make_job: MakeJob) -> None:
    whole = make_job(settings=SETTINGS | {"auto_find_batch_size": True})
    parts = training._with_smaller_batches(whole)
    assert parts is not None
    assert parts.settings["per_device_train_batch_size"] == 2
    assert parts.settings["gradient_accumulation_steps"] == 2
    losses = [[entry["loss"] for entry in training.train(job).history] for job in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    third = training._with_smaller_batches(
        make_job(settings={"per_device_train_batch_size": 9, "auto_find_batch_size": True})
    )
    assert third is not None
    assert third.settings["per_device_train_batch_size"] == 3
    one = {"per_device_train_batch_size": 1, "auto_find_batch_size": True}
    assert training._with_smaller_batches(make_job(settings=one)) is None
    assert training._with_smaller_batches(make_job()) is None


def test_time_of_a_batch_that_did_not_fit_is_paid(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, batches = training.attempt, []

    def without_memory(job: Job) -> training.Outcome:
        batches.append(job.settings["per_device_train_batch_size"])
        if batches[-1] > 1:
            time.sleep(0.4)
            raise Ended({"out_of_memory": True, "peak_memory_bytes": 1}, [])
        return attempt(job)

    monkeypatch.setattr(training, "attempt", without_memory)
    found = training.train(make_job(settings=SETTINGS | {"auto_find_batch_size": True})).metrics
    assert batches == [4, 2, 1]
    assert found["machine_s"] > 2 * 0.4 + found["load_s"] + found["train_s"] + found["save_s"]


def test_resumed_run_pays_for_what_it_trained_before(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "seconds", lambda _self, path: 1000.0 if path else 0.0)
    job = make_job()
    complete = Checkpoints.complete

    def killed(self: Checkpoints, step: int, **options: Any) -> None:
        complete(self, step, **options)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "complete", killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(job)
    found = training.train(job).metrics
    assert found["machine_s"] > found["train_s"] > 1000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("file", ["optimizer.pt", "trainer_state.json"])
def test_full_disk_leaves_the_earlier_checkpoint(
    file: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    last = Checkpoints.last

    def trapped(self: Checkpoints) -> Path | None:
        found = last(self)
        trap = self.folder / "checkpoint-4"
        trap.mkdir()
        (trap / file).symlink_to("/dev/full")
        return found

    monkeypatch.setattr(Checkpoints, "last", trapped)
    with pytest.raises(TrainingError) as caught:
        training.train(job)
    told = str(caught.value)
    assert told.startswith("tiny/reviews/lora: the disk is full while saving: ")
    assert "a checkpoint takes about 2.5e-05 GB" in told
    monkeypatch.undo()
    assert [path.name for path in job.checkpoints.glob("checkpoint-*")] == ["checkpoint-2"]
    assert training.train(job).metrics["steps"] == 6
