"""A half-precision model trains as a float32 one does: what trains is float32, whatever it is."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob, MakePrompts, digest
from peft_kinds import KEYS, TARGETS
from test_training import interrupt

from tunebench import models, training
from tunebench.answering import generation, merging, scoring
from tunebench.config import library
from tunebench.config.options import UNTRAINABLE_PEFT_TYPES
from tunebench.config.schema import FullMethod, Model, PeftMethod, TuningMethod
from tunebench.training import Job, flops, precision, setup
from tunebench.training.checkpoints import Checkpoints
from tunebench.training.trainer import Trainer

LABELS = ["positive", "negative"]
LORA = {"peft_type": "LORA", "r": 4, **TARGETS}
FULL = FullMethod(kind="full")
SETTINGS = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "learning_rate": 2e-4,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "save_strategy": "no",
}
GENTLE = {
    # its own, 15, takes the loss from 9 to 5 in six steps, and a rounding error anywhere
    "DELORA": {"delora_lambda": 1},
}


def peft(adapter: dict[str, Any], quantization: Any = None) -> PeftMethod:
    # past the check of params.yaml, which would not let all of these through
    return PeftMethod.model_construct(
        kind="peft", adapter=adapter, quantization=quantization, training={}, search={}
    )


KINDS: dict[str, TuningMethod] = {
    name: peft({"peft_type": name, **KEYS.get(name, TARGETS), **GENTLE.get(name, {})})
    for name in sorted(library.peft_types() - set(UNTRAINABLE_PEFT_TYPES))
}
KINDS |= {
    "full": FULL,
    "head copied": peft(LORA | {"modules_to_save": ["lm_head"]}),
    "embedding copied": peft(LORA | {"modules_to_save": ["embed_tokens"]}),
    "norms copied": peft(LORA | {"modules_to_save": ["norm"]}),
    "tokens": peft(LORA | {"trainable_token_indices": [1, 9, 31]}),
    "embeddings adapted": peft(LORA | {"target_modules": ["embed_tokens", "lm_head"]}),
    "dora": peft(LORA | {"use_dora": True}),
    "nf4": peft(LORA, "nf4"),
    "nf4, head copied": peft(LORA | {"modules_to_save": ["lm_head"]}, "nf4"),
    "int8": peft(LORA, "int8"),
}
QUICK = ("full", "LORA", "LN_TUNING", "head copied", "tokens", "dora", "nf4")
assert set(QUICK) <= set(KINDS)


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16 takes 3 s to multiply the matrices that it is measured on."""
    monkeypatch.setitem(flops.SIDE, "cpu", 64)


@pytest.fixture(scope="module")
def on_grid(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as it is published as a rule: in weights that bfloat16 holds exactly."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("on_grid")
    AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    return folder


MakeTyped = Callable[..., Job]


@pytest.fixture
def make(make_job: MakeJob, on_grid: Path) -> MakeTyped:
    """A job on that model in some dtype."""

    def job(dtype: str, method: TuningMethod, name: str = "run", **own: Any) -> Job:
        base = models.Base(on_grid, "0" * 40, Model(path=str(on_grid), dtype=dtype))
        made = make_job(f"{name}-{dtype}", method=method, base=base, settings=SETTINGS | own)
        return dataclasses.replace(made, prompts=made.prompts[:8])

    return job


@dataclasses.dataclass
class Watched:
    """A model while it was trained, and its weights before."""

    model: Any
    before: dict[str, Any]

    def moved(self) -> dict[str, Any]:
        """All that trained, less what it was."""
        after = _trained(self.model)
        assert {str(weight.dtype) for weight in after.values()} == {"torch.float32"}
        return {name: (after[name] - before).flatten() for name, before in self.before.items()}


def both(watched: list[Watched]) -> tuple[Any, Any]:
    """How two models' weights have moved, the same weights of both, behind one another."""
    import torch

    first, second = (each.moved() for each in watched)
    assert first.keys() == second.keys()
    return tuple(torch.cat([moved[name] for name in first]) for moved in (first, second))


def _trained(model: Any) -> dict[str, Any]:
    return {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """The models that were trained in this test."""
    found: list[Watched] = []
    train = Trainer.train

    def watch(self: Trainer, **given: Any) -> Any:
        found.append(Watched(self.model, _trained(self.model)))
        return train(self, **given)

    monkeypatch.setattr(Trainer, "train", watch)
    return found


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_bfloat16_trains_as_float32_does(
    kind: str, make: MakeTyped, watched: list[Watched], make_prompts: MakePrompts
) -> None:
    import torch

    # where all weights move, those on bfloat16's grid run as moved once they are halfway on
    own = {"learning_rate": 1e-3} if kind == "full" else {}
    jobs = [make(dtype, KINDS[kind], **own) for dtype in ("float32", "bfloat16")]
    right, found = (training.train(job).metrics["loss"] for job in jobs)
    assert found == pytest.approx(right, rel=0.01)
    exact, ours = both(watched)
    assert torch.cosine_similarity(exact, ours, dim=0) > 0.9
    assert float(ours.norm() / exact.norm()) == pytest.approx(1, abs=0.05)
    shares = [float((steps != 0).float().mean()) for steps in (exact, ours)]
    assert shares[1] == pytest.approx(shares[0], abs=0.01)

    # what evaluation loads answers as what was trained
    job, tokenizer = jobs[1], models.load_tokenizer(jobs[1].base)
    restored = models.load(job.base, job.method, trained=job.output)
    asked = make_prompts(2, start=20)
    score = partial(scoring.score, labels=LABELS, batch_tokens=256)
    answers = [
        torch.tensor(score(each, tokenizer, asked)) for each in (watched[1].model.eval(), restored)
    ]
    assert torch.allclose(*answers, rtol=0.05)
    options = {"do_sample": False, "max_new_tokens": 2}
    assert generation.generate(restored, tokenizer, asked, options, batch_tokens=256)


def test_small_steps_move_every_weight(
    make: MakeTyped, tiny: models.Base, watched: list[Watched]
) -> None:
    # of weights near 0.3 bfloat16's neighbours are 0.002 apart; their files are float32
    losses = []
    for dtype in ("float32", "bfloat16"):
        job = make(dtype, FULL, learning_rate=1e-5, max_steps=16)
        base = dataclasses.replace(job.base, folder=tiny.folder)
        losses.append(training.train(dataclasses.replace(job, base=base)).history)
    exact, ours = (float((moved != 0).float().mean()) for moved in both(watched))
    assert ours == pytest.approx(exact, abs=0.01)
    assert ours > 0.8
    for right, found in zip(*losses, strict=True):
        assert found["loss"] == pytest.approx(right["loss"], rel=0.005)
    drops = [steps[0]["loss"] - steps[-1]["loss"] for steps in losses]
    assert drops[1] == pytest.approx(drops[0], rel=0.1)


def test_float32_is_left_alone(make: MakeTyped) -> None:
    for method in (FULL, peft(LORA)):
        job = make("float32", method)
        arguments = setup.arguments(job)
        assert (arguments.bf16, arguments.fp16, arguments.mixed_precision) == (False, False, "no")
        assert not arguments.use_cpu
        kept = Checkpoints(job.checkpoints, job.identity())
        trainer = setup.trainer(job, arguments, kept, lambda: 0.0)
        trainer.train()
        assert "forward" not in vars(trainer.model)  # where accelerate puts autocast


@pytest.mark.parametrize(
    ("dtype", "given", "device", "chosen"),
    [
        ("float32", {}, "cpu", (False, False)),
        ("float32", {"bf16": True}, "cpu", (True, False)),
        ("float32", {"fp16": True}, "cuda", (False, True)),
        ("bfloat16", {}, "cpu", (True, False)),
        ("bfloat16", {}, "cuda", (True, False)),
        ("bfloat16", {"bf16": True}, "cuda", (True, False)),
        ("bfloat16", {"bf16": False}, "cuda", (True, False)),
        ("bfloat16", {"fp16": True}, "cuda", (False, True)),
        ("bfloat16", {"fp16": True}, "cpu", (True, False)),
        ("float16", {}, "cuda", (False, True)),
        ("float16", {"bf16": True}, "cuda", (True, False)),
        ("float16", {}, "cpu", (True, False)),
        ("float16", {"fp16": True}, "cpu", (True, False)),
    ],
)
def test_a_model_runs_in_its_dtype_unless_settings_say_otherwise(
    dtype: str, given: dict[str, bool], device: str, chosen: tuple[bool, bool]
) -> None:
    made = given | precision.mixed_precision(dtype, given, device)
    assert (made.get("bf16", False), made.get("fp16", False)) == chosen


@pytest.mark.parametrize("method", [FULL, peft(LORA | {"modules_to_save": ["norm"]})], ids=str)
def test_float16_trains_on_a_cpu(
    method: TuningMethod,
    make: MakeTyped,
    watched: list[Watched],
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    own = {"learning_rate": 1e-3} if method is FULL else {}
    jobs = [make(dtype, method, **own) for dtype in ("float32", "float16")]
    losses = [training.train(job).metrics for job in jobs]
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=0.01)
    exact, ours = both(watched)
    assert torch.cosine_similarity(exact, ours, dim=0) > 0.9
    said = "tiny/reviews/run-float16: a CPU has no loss scaler for float16: the model trains in"
    assert capsys.readouterr().err.count(said) == 1


def test_whole_model_is_written_in_its_dtype(make: MakeTyped, watched: list[Watched]) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig

    checkpoints: list[Any] = []
    complete = Checkpoints.complete

    def look(self: Checkpoints, step: int, **given: Any) -> None:
        checkpoints.append(load_file(self.folder / f"checkpoint-{step}" / "model.safetensors"))
        complete(self, step, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "complete", look)
        job = make("bfloat16", FULL, save_strategy="epoch")
        training.train(job)
    trained = _trained(watched[0].model)
    folders = [job.output, *sorted(job.output.glob("epochs/*"))]
    assert len(folders) == 3
    for folder in folders:
        written = load_file(folder / "model.safetensors")
        assert {weight.dtype for weight in written.values()} == {torch.bfloat16}
        assert AutoConfig.from_pretrained(folder).dtype == torch.bfloat16
        if folder.name != "1":
            assert set(written) == set(trained)
            for name, weight in trained.items():
                assert torch.equal(written[name], weight.bfloat16()), name
    # what a killed run goes on from
    assert len(checkpoints) == 2
    for name, weight in trained.items():
        assert torch.equal(checkpoints[-1][name], weight), name


def test_embeddings_that_share_a_weight_are_written_once(
    make: MakeTyped, tmp_path: Path, on_grid: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(on_grid)
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight
    model.save_pretrained(tmp_path / "tied")
    AutoTokenizer.from_pretrained(on_grid).save_pretrained(tmp_path / "tied")
    job = make("bfloat16", FULL)
    job = dataclasses.replace(job, base=dataclasses.replace(job.base, folder=tmp_path / "tied"))
    training.train(job)
    assert "lm_head.weight" not in load_file(job.output / "model.safetensors")
    again = models.load(job.base, FULL, trained=job.output)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert again.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "kind", ["full", "LORA", "LN_TUNING", "head copied", "nf4, head copied", "ADALORA"]
)
def test_killed_run_ends_in_the_same_weights(kind: str, make: MakeTyped) -> None:
    own = {"max_steps": 8, "save_strategy": "steps", "save_steps": 2}
    method = KINDS[kind]
    if kind == "ADALORA":
        method = peft({"peft_type": "ADALORA", "init_r": 8, "target_r": 4, "tfinal": 2, **TARGETS})
    whole, killed = (make("bfloat16", method, name, **own) for name in ("whole", "killed"))
    expected = training.train(whole)
    interrupt(killed)
    resumed = training.train(killed)
    assert digest(killed) == digest(whole)
    assert resumed.history == expected.history


@pytest.mark.parametrize(
    "own",
    [
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"packing": True, "packing_length": 64, "per_device_train_batch_size": 8},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["full", "head copied", "LN_TUNING"])
def test_settings_that_change_no_step(
    kind: str, own: dict[str, Any], make: MakeTyped, watched: list[Watched]
) -> None:
    import torch

    whole = {"per_device_train_batch_size": 8} if own.get("packing") else {}  # all rows in a step
    sizes = [whole, own]
    plain, other = (
        training.train(make("bfloat16", KINDS[kind], str(number), **given | {"max_steps": 2}))
        for number, given in enumerate(sizes)
    )
    if not own.get("packing"):
        assert other.metrics["loss"] == pytest.approx(plain.metrics["loss"], rel=0.01)
    first, second = both(watched)
    assert torch.cosine_similarity(first, second, dim=0) > 0.9


@pytest.mark.parametrize("kind", ["LN_TUNING", "head copied", "norms copied", "dora", "tokens"])
def test_merged_model_is_in_its_dtype(kind: str, make: MakeTyped, watched: list[Watched]) -> None:
    import torch

    job = make("bfloat16", KINDS[kind], learning_rate=0.01)
    training.train(job)
    merged = merging.merge(job.base, job.method, job.output)
    assert merged is not None
    assert {weight.dtype for weight in merged.parameters()} == {torch.bfloat16}
    ids = torch.tensor([[1, 9, 20, 31, 77, 40, 12]])
    with torch.inference_mode():
        attached = models.load(job.base, job.method, trained=job.output).eval()(ids).logits.float()
        untouched = models.load(job.base, job.method).eval()(ids).logits.float()
        found = merged.eval()(ids).logits.float()
    assert (found - attached).abs().max() < 0.5 * (untouched - attached).abs().max()


@pytest.mark.parametrize("own", [{"bf16": True}, {"bf16": True, "use_cpu": True}], ids=str)
def test_mixed_precision_that_settings_ask_for(own: dict[str, Any], make: MakeTyped) -> None:
    asked, plain = (training.train(make("bfloat16", FULL, **given)) for given in (own, {}))
    assert asked.history == plain.history
    wide = training.train(make("float32", FULL, **own))
    assert wide.metrics["loss"] == pytest.approx(plain.metrics["loss"], rel=1e-3)
