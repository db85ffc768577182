"""Training writes what `models.load` restores, bit for bit the same however often it is killed."""

import dataclasses
import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob, MakePrompts, digest

from tunebench import models, results, training
from tunebench.answering import scoring
from tunebench.config.schema import FullMethod, PeftMethod, PromptingMethod
from tunebench.errors import TrainingError
from tunebench.prompts import Prompt, batching
from tunebench.training import Job, setup
from tunebench.training.checkpoints import Checkpoints

LORA = {"peft_type": "LORA", "r": 4, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
PROMPTING = PromptingMethod(kind="prompting")
LABELS = ["positive", "negative"]
SETTINGS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.02,
    "logging_steps": 3,
    "save_strategy": "steps",
    "save_steps": 2,
}
STEPS = 8  # 16 rows in batches of 4, twice


@pytest.fixture
def make_job(make_job: MakeJob) -> MakeJob:
    return partial(make_job, settings=SETTINGS, method=PeftMethod(kind="peft", adapter=LORA))


def scores(job: Job, tokenizer: Any, prompts: list[Prompt]) -> list[list[float]]:
    model = models.load(job.base, job.method, trained=job.output)
    return scoring.score(model, tokenizer, prompts, LABELS, batch_tokens=256)


class Killed(batching.Collator):
    """A collator that is interrupted at its seventh batch, as by Ctrl-C."""

    calls = 0

    def __call__(self, rows: Any) -> Any:
        self.calls += 1
        if self.calls == 7:
            raise KeyboardInterrupt
        return super().__call__(rows)


def interrupt(job: Job) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "Collator", Killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(job)
    assert [path.name for path in job.checkpoints.glob("checkpoint-*")] != []
    assert not job.output.exists()


def starting_step(job: Job) -> int:
    last = Checkpoints(job.checkpoints, job.identity()).last()
    return int(last.name.split("-")[1]) if last else 0


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_adapter_is_restored_as_it_was_trained(
    quantization: str | None,
    make_job: MakeJob,
    make_prompts: MakePrompts,
    tokenizer: Any,
    model: Any,
    adapted: list[Any],
) -> None:
    import torch

    job = make_job(method=PeftMethod(kind="peft", adapter=LORA, quantization=quantization))
    outcome = training.train(job)
    assert sorted(path.name for path in job.output.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not job.checkpoints.exists()
    prompts = make_prompts(4, start=20)
    restored = models.load(job.base, job.method, trained=job.output).eval()
    ids = torch.tensor([[1, 9, 20, 31]])
    with torch.inference_mode():
        assert torch.equal(restored(ids).logits, adapted[0].eval()(ids).logits)
    after = scoring.score(adapted[0], tokenizer, prompts, LABELS, batch_tokens=256)
    assert scores(job, tokenizer, prompts) == after
    assert after != scoring.score(model, tokenizer, prompts, LABELS, batch_tokens=256)
    assert outcome.metrics["rows"] == 16
    assert outcome.metrics["steps"] == STEPS
    assert outcome.metrics["trainable_parameters"] == 2 * 2 * (64 * 4 * 2)
    assert outcome.metrics["adapter_bytes"] > outcome.metrics["trainable_parameters"] * 4
    assert min(outcome.metrics.values()) > 0


def test_seed_decides_the_weights(make_job: MakeJob) -> None:
    jobs = [make_job("first"), make_job("again"), make_job("other", seed=1)]
    for job in jobs:
        training.train(job)
    first, again, other = map(digest, jobs)
    assert first == again != other


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"train_sampling_strategy": "random"},
        {"neftune_noise_alpha": 5},
        {"packing": True, "packing_length": 64, "per_device_train_batch_size": 1},
    ],
    ids=str,
)
def test_killed_run_ends_in_the_same_weights(
    make_job: MakeJob, own: dict[str, Any], tmp_path: Path
) -> None:
    whole, killed = (
        make_job(name, settings=SETTINGS | own, history=tmp_path / name)
        for name in ("whole", "killed")
    )
    expected = training.train(whole)
    interrupt(killed)
    assert starting_step(killed) >= 4
    until_killed, loss = written(tmp_path / "killed"), "plots/metrics/train/loss.tsv"
    assert written(tmp_path / "whole")[loss].startswith(until_killed[loss])
    shutil.rmtree(tmp_path / "killed")  # as DVC does
    resumed = training.train(killed)
    assert digest(killed) == digest(whole)
    assert resumed.history == expected.history
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    for name in ("rows", "steps", "loss", "trainable_parameters", "adapter_bytes"):
        assert resumed.metrics[name] == expected.metrics[name], name
    assert not killed.checkpoints.exists()


def test_changed_run_starts_from_the_beginning(
    make_job: MakeJob, make_prompts: MakePrompts
) -> None:
    job = make_job()
    interrupt(job)
    spare = shutil.copytree(job.checkpoints, job.checkpoints.with_name("spare"))
    changes: list[dict[str, Any]] = [
        {"settings": SETTINGS | {"learning_rate": 0.01}},
        {"seed": 1},
        {"prompts": make_prompts(16, start=1)},
        {"method": PeftMethod(kind="peft", adapter=LORA | {"r": 2})},
        {"base": dataclasses.replace(job.base, revision="1" * 40)},
    ]
    for change in changes:
        assert starting_step(job) >= 4
        assert starting_step(dataclasses.replace(job, **change)) == 0, change
        assert [path.name for path in job.checkpoints.iterdir()] == ["job.json"]
        shutil.rmtree(job.checkpoints)
        shutil.copytree(spare, job.checkpoints)


def test_epochs_are_kept(make_job: MakeJob) -> None:
    by_epoch = SETTINGS | {"save_strategy": "epoch", "num_train_epochs": 2.5}
    whole, killed = (make_job(name, settings=by_epoch) for name in ("whole", "killed"))
    training.train(whole)
    interrupt(killed)
    training.train(killed)
    kept = epochs(whole)
    assert list(kept) == ["1", "2", "3"]
    assert len(set(kept.values())) == 3
    assert kept["3"] == digest(whole)
    assert epochs(killed) == kept


def epochs(job: Job) -> dict[str, str]:
    files = sorted(job.output.glob("epochs/*/adapter_model.safetensors"))
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_packed_rows_are_trained_on(make_job: MakeJob) -> None:
    packed = {"packing": "concat", "packing_length": 64, "loss_on": "all"}
    job = make_job("packed", settings=SETTINGS | packed)
    metrics = training.train(job).metrics
    assert metrics["rows"] == 16
    tokens = sum(prompt.tokens for prompt in job.prompts)
    assert tokens / 64 < metrics["sequences"] < 16
    assert metrics["loss"] > 0


def test_concatenated_sequences_leave_room_for_virtual_tokens(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = {"packing": "concat", "packing_length": 512, "loss_on": "all", "max_steps": 1}
    adapter = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 28}
    method = PeftMethod(kind="peft", adapter=adapter)
    job = make_job("virtual", method=method, settings=SETTINGS | packed)
    metrics = training.train(job).metrics
    tokens = sum(prompt.tokens for prompt in job.prompts)
    assert tokens / 100 < metrics["sequences"] < 16
    said = "packing_length: the context holds 100 tokens, not 512"
    assert said in capsys.readouterr().err


STEP = {
    "max_steps": 1,
    "optim": "sgd",
    "learning_rate": 1.0,
    "max_grad_norm": 0.0,
    "lr_scheduler_type": "constant",
    "save_strategy": "no",
}


def trained_weights(job: Job) -> Any:
    from safetensors.torch import load_file

    training.train(job)
    (path,) = job.output.glob("*.safetensors")
    return load_file(path)


@pytest.mark.parametrize(
    ("own", "batch", "accumulation"),
    [
        ({}, 4, 4),  # the mean is over the whole step, however long its batches are
        ({"packing": True, "packing_length": 10_000}, 1, 1),
        ({"packing": True, "packing_length": 100}, 2, 16),
    ],
)
def test_a_step_is_the_same_however_its_rows_are_put_together(
    make_job: MakeJob, own: dict[str, Any], batch: int, accumulation: int
) -> None:
    method = PeftMethod(kind="peft", adapter=LORA | {"lora_dropout": 0.0})
    right = trained_weights(
        make_job(
            "plain",
            method=method,
            settings=STEP | {"per_device_train_batch_size": 16},
        )
    )
    sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    found = trained_weights(make_job("other", method=method, settings=STEP | own | sizes))
    fresh = trained_weights(make_job("fresh", method=method, settings=STEP | {"learning_rate": 0}))
    moved = {name: right[name] - fresh[name] for name in right}
    largest = max(float(step.abs().max()) for step in moved.values())
    assert largest > 1e-3
    for name, step in moved.items():
        assert float((found[name] - fresh[name] - step).abs().max()) <= 1e-5 * largest, name


def test_rows_that_would_mix_are_not_packed(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"packing": True, "packing_length": 128, "max_steps": 1, "save_strategy": "no"}
    lora = training.train(make_job("lora", settings=SETTINGS | own)).metrics
    assert capsys.readouterr().err.count("mixes rows") == 0
    adapter = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}
    method = PeftMethod(kind="peft", adapter=adapter)
    virtual = training.train(make_job("virtual", settings=SETTINGS | own, method=method)).metrics
    assert lora["rows"] == virtual["rows"] == virtual["sequences"] == 16
    assert lora["sequences"] < 8
    said = "tiny/reviews/virtual: packing: this model mixes rows of one sequence"
    assert capsys.readouterr().err.count(said) == 1


def drawn(job: Job) -> Any:
    kept = Checkpoints(job.checkpoints, job.identity())
    trainer = setup.trainer(job, setup.arguments(job), kept, lambda: 0.0)
    return trainer._get_train_sampler()


def test_rows_are_drawn_by_length_unless_settings_say_otherwise(
    make_job: MakeJob,
) -> None:
    from torch.utils.data import RandomSampler, SequentialSampler

    sampler = drawn(make_job())
    assert isinstance(sampler, batching.LengthWindows)
    assert sampler.batch_size == 4
    for strategy, kind in (("random", RandomSampler), ("sequential", SequentialSampler)):
        settings = SETTINGS | {"train_sampling_strategy": strategy}
        assert isinstance(drawn(make_job(settings=settings)), kind)


def test_plain_loss_is_said_and_the_same(
    make_job: MakeJob,
    make_prompts: MakePrompts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = make_prompts(16) + make_prompts(5, split="validation", start=50)
    settings = SETTINGS | {"eval_strategy": "epoch", "save_strategy": "no"}
    ours = training.train(make_job("ours", prompts=rows, settings=settings))
    message = "logits of prompts are computed too"
    assert message not in capsys.readouterr().err
    monkeypatch.setattr(setup.logits, "labelled", lambda *_: None)
    plain = training.train(make_job("plain", prompts=rows, settings=settings))
    assert capsys.readouterr().err.count(f"tiny/reviews/plain: {message}") == 1
    assert len(ours.history) == len(plain.history) == 5
    for found, right in zip(ours.history, plain.history, strict=True):
        assert set(found) == set(right)
        for key, value in right.items():
            assert found[key] == (pytest.approx(value, rel=1e-3) if value else value), key


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_validation_leaves_training_as_it_is(
    quantization: str | None, make_job: MakeJob, make_prompts: MakePrompts
) -> None:
    method = PeftMethod(
        kind="peft", adapter=LORA | {"lora_dropout": 0.0}, quantization=quantization
    )
    rows = make_prompts(16) + make_prompts(5, split="validation", start=50)
    found = []
    for strategy in ("no", "steps"):
        settings = SETTINGS | {"save_strategy": "no", "eval_strategy": strategy, "eval_steps": 2}
        job = make_job(strategy, prompts=rows, method=method, settings=settings)
        outcome = training.train(job)
        validated = sum("eval_loss" in entry for entry in outcome.history)
        assert validated == (STEPS / 2 if strategy == "steps" else 1)  # at the end in any case
        found.append(digest(job))
    assert found[0] == found[1]


def test_smoothed_labels_have_the_loss_of_the_library(make_job: MakeJob) -> None:
    own = {"label_smoothing_factor": 0.2, "max_steps": 2, "save_strategy": "no"}
    smooth = training.train(make_job("smooth", settings=SETTINGS | own)).metrics["loss"]
    hard = training.train(make_job("hard", settings=SETTINGS | own | {"label_smoothing_factor": 0}))
    assert smooth != pytest.approx(hard.metrics["loss"], rel=1e-3)


def test_full_tuning_saves_a_whole_model(
    make_job: MakeJob, make_prompts: MakePrompts, tokenizer: Any, model: Any
) -> None:
    settings = SETTINGS | {"max_steps": 2, "save_strategy": "no"}
    job = make_job(method=FullMethod(kind="full"), settings=settings)
    outcome = training.train(job)
    assert (job.output / "model.safetensors").exists()
    assert outcome.metrics["trainable_parameters"] == model.num_parameters()
    prompts = make_prompts(4)
    after = scores(job, tokenizer, prompts)
    asked = models.load(dataclasses.replace(job.base, folder=job.output), PROMPTING)
    assert after == scoring.score(asked, tokenizer, prompts, LABELS, batch_tokens=256)
    assert after != scoring.score(model, tokenizer, prompts, LABELS, batch_tokens=256)


def test_adapter_that_does_not_fit_the_model_is_blamed(make_job: MakeJob) -> None:
    adapter = {"peft_type": "LORA", "target_modules": ["no_such_layer"]}
    job = make_job("odd", method=PeftMethod(kind="peft", adapter=adapter))
    with pytest.raises(TrainingError, match=r"^tiny/reviews/odd: adapter: .*no_such_layer"):
        training.train(job)


def test_neftune_and_loss_on_change_the_result(make_job: MakeJob) -> None:
    short = SETTINGS | {"max_steps": 3, "save_strategy": "no"}
    found = set()
    for name, own in (
        ("plain", {}),
        ("noisy", {"neftune_noise_alpha": 5}),
        ("all", {"loss_on": "all"}),
    ):
        job = make_job(name, settings=short | own)
        training.train(job)
        found.add(digest(job))
    assert len(found) == 3


def test_history_has_step_and_loss(
    make_job: MakeJob, make_prompts: MakePrompts, tmp_path: Path
) -> None:
    rows = make_prompts(8) + make_prompts(4, split="validation", start=50)
    settings = SETTINGS | {"eval_strategy": "epoch", "save_strategy": "no"}
    live = tmp_path / "history"
    outcome = training.train(make_job(prompts=rows, settings=settings, history=live))
    assert outcome.metrics["rows"] == 8
    assert [entry["step"] for entry in outcome.history if "loss" in entry] == [3, 4]
    assert [entry["step"] for entry in outcome.history if "eval_loss" in entry] == [2, 4]
    assert all("loss" in entry or "eval_loss" in entry for entry in outcome.history)
    losses = [entry["loss"] for entry in outcome.history if "loss" in entry]
    mean = (3 * losses[0] + losses[1]) / 4
    assert outcome.metrics["loss"] == pytest.approx(mean, rel=1e-5)
    while_trained = written(live)
    assert sorted(while_trained) == [
        "plots/metrics/eval/loss.tsv",
        "plots/metrics/train/grad_norm.tsv",
        "plots/metrics/train/learning_rate.tsv",
        "plots/metrics/train/loss.tsv",
    ]
    assert while_trained["plots/metrics/train/loss.tsv"].decode() == (
        f"step\tloss\n3\t{losses[0]}\n4\t{losses[1]}\n"
    )
    training.write_history(live, outcome.history)
    assert written(live) == while_trained
    training.write_history(live, [])
    assert written(live) == {"plots/metrics/train/loss.tsv": b"step\tloss\n"}


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_configuration_is_the_same_in_every_process(make_job: MakeJob) -> None:
    """PEFT holds module names in a set, whose order differs from process to process."""
    names = ["v_proj", "q_proj", "up_proj", "o_proj", "k_proj", "gate_proj", "down_proj"]
    method = PeftMethod(kind="peft", adapter=LORA | {"target_modules": names})
    job = make_job("sorted", method=method)
    training.train(job)
    written = results.read(job.output / "adapter_config.json")
    assert written["target_modules"] == sorted(names)
