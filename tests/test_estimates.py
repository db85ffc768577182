"""The models of memory and time against what was measured on two cores without a GPU.

SmolLM2-135M in float32, and the embedded model of the demo, by the metrics of their runs.
"""

import math
from pathlib import Path
from typing import Any

import pytest

from tunebench.config.schema import FullMethod, Model, PeftMethod, PromptingMethod
from tunebench.errors import SourceError
from tunebench.estimates import memory, seconds, sizes
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.seconds import Speed
from tunebench.estimates.work import Answering, Training
from tunebench.planning import work
from tunebench.planning.tokens import Tokens

SMOLLM2 = sizes.of_config(
    {
        "num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "tie_word_embeddings": True, "max_position_embeddings": 8192,
    },
    134_515_008,
)  # fmt: skip
TINY = sizes.of_config(
    {
        "num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 384,
        "num_attention_heads": 4, "vocab_size": 3072, "tie_word_embeddings": True,
    },
    1_246_336,
)  # fmt: skip
SPEED = Speed(140e9)
FLOAT32 = Model(path="model", dtype="float32")


def method(**options: Any) -> PeftMethod:
    quantization = options.pop("quantization", None)
    adapter = {"peft_type": "LORA", "r": 16, "lora_dropout": 0.05, "target_modules": "all-linear"}
    return PeftMethod(kind="peft", quantization=quantization, adapter=adapter | options)


def smollm2(made: Any) -> LoadedModel:
    assert SMOLLM2
    return LoadedModel.of(SMOLLM2, FLOAT32, made)


def training(rows: int, steps: int, longest: int, **more: Any) -> Training:
    tokens = rows * steps * longest
    return Training(rows, steps, steps, tokens, longest, more.pop("labelled", 3.0), **more)


LORA, QLORA = method(), method(quantization="nf4")
QV = method(target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
FULL = FullMethod(kind="full")
# method, training, peak in MB, seconds of training and loading: `python -m stages.train`
TRAINED = {
    "lora": (LORA, training(4, 2, 253), 4558, 33.8),
    "lora, one row": (LORA, training(1, 8, 247), 2088, 27.2),
    "lora, eight rows": (LORA, training(8, 1, 249), 5582, 32.8),
    "lora, checkpointing": (LORA, training(4, 2, 253, checkpointing=True), 2685, 32.5),
    "lora, loss on all": (LORA, training(4, 2, 253, labelled=250.0), 4946, 41.9),
    "qlora": (QLORA, training(4, 2, 253), 4870, 34.9),
    "lora on two modules": (QV, training(4, 2, 253), 2688, 15.7),
    "full": (FULL, training(4, 2, 253), 4484, 28.8),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_of_a_language_model(name: str) -> None:
    made, run, peak_mb, taken_s = TRAINED[name]
    peak = memory.of_training(smollm2(made), run, "cpu")
    assert peak.total / 1e6 == pytest.approx(peak_mb, rel=0.15)
    new = peak.activations + peak.optimizer
    assert seconds.of_training(smollm2(made), run, SPEED, new) == pytest.approx(taken_s, rel=0.4)


# the demo: quantization nf4, batches of 8, three epochs; tokens, longest row, peak, seconds
DEMO = [
    (["q_proj", "v_proj"], 112_128, 110, 704, 18.9),
    (["q_proj", "v_proj"], 159_189, 150, 748, 22.4),
    ("all-linear", 112_128, 110, 766, 31.2),
    ("all-linear", 159_189, 150, 837, 40.2),
]


@pytest.mark.parametrize(("targets", "tokens", "longest", "peak_mb", "taken_s"), DEMO)
def test_training_of_the_demo(
    targets: Any, tokens: int, longest: int, peak_mb: float, taken_s: float
) -> None:
    assert TINY
    made = method(quantization="nf4", r=8, lora_dropout=0.1, target_modules=targets)
    model, run = LoadedModel.of(TINY, FLOAT32, made), Training(8, 150, 150, tokens, longest, 4.0)
    peak = memory.of_training(model, run, "cpu")
    assert peak.total / 1e6 == pytest.approx(peak_mb, rel=0.05)
    assert seconds.of_training(model, run, SPEED, 0.0) == pytest.approx(taken_s, rel=0.25)


def test_trainable_weights_are_pefts() -> None:
    assert smollm2(LORA).trainable == 4_884_480
    assert smollm2(QV).trainable == 921_600
    assert smollm2(FULL).trainable == 134_515_008
    assert smollm2(PromptingMethod(kind="prompting")).trainable == 0


def answered(rows: int, prompt: float, longest: int, limit: int, written: float) -> Answering:
    labels = 0 if limit else 6
    return Answering(rows, 1, prompt, prompt, labels, written, limit, longest, 4096)


# method, answers, peak in MB: `python -m stages.evaluate`
ANSWERED = [
    (PromptingMethod(kind="prompting"), answered(16, 339, 508, 0, 0.0), 1240),
    (PromptingMethod(kind="prompting"), answered(8, 267, 560, 60, 43.5), 1287),
    (LORA, answered(16, 339, 508, 0, 0.0), 1315),
    (LORA, answered(8, 267, 560, 60, 30.9), 1361),
    (QLORA, answered(16, 243, 253, 0, 0.0), 1335),
]


@pytest.mark.parametrize(("made", "asked", "peak_mb"), ANSWERED)
def test_answers_of_a_language_model(made: Any, asked: Answering, peak_mb: float) -> None:
    peak = memory.of_answering(smollm2(made), asked, "cpu")
    assert peak.total / 1e6 == pytest.approx(peak_mb, rel=0.1)


def test_a_gpu_has_neither_process_nor_holes() -> None:
    run = training(4, 100, 253)
    on_cpu, on_gpu = (memory.of_training(smollm2(LORA), run, kind) for kind in ("cpu", "cuda"))
    assert on_gpu.process == 0
    assert on_gpu.activations < on_cpu.activations / 1.5
    assert on_gpu.weights == on_cpu.weights


def test_more_takes_more() -> None:
    few, many = training(2, 10, 128), training(4, 10, 256)
    kept = memory.of_training(smollm2(LORA), many, "cuda")
    assert memory.of_training(smollm2(LORA), few, "cuda").total < kept.total
    checkpointed = memory.of_training(
        smollm2(LORA), training(4, 10, 256, checkpointing=True), "cuda"
    )
    assert checkpointed.activations < kept.activations / 5
    paged = memory.of_training(smollm2(FULL), training(4, 10, 256, optimizer="adamw_8bit"), "cuda")
    whole = memory.of_training(smollm2(FULL), many, "cuda")
    assert whole.optimizer - paged.optimizer == pytest.approx(6 * 134_515_008)
    slow = seconds.of_training(smollm2(LORA), many, Speed(70e9), 0.0)
    assert slow > seconds.of_training(smollm2(LORA), many, SPEED, 0.0) * 1.5


TOKENS = Tokens(100.0, 60.0, tuple(range(40, 161, 10)), 4.0, 5, 20)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (8, 39, 39)),  # TrainingArguments' own: batches of 8, three epochs
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, (4, 75, 39)),
        ({"num_train_epochs": 1, "per_device_train_batch_size": 100}, (100, 1, 1)),
        ({"max_steps": 7, "gradient_accumulation_steps": 3}, (8, 21, 7)),
        ({"packing": True, "packing_length": 520}, (8, 9, 9)),
    ],
)
def test_steps_of_a_training(options: dict[str, Any], expected: tuple[int, ...]) -> None:
    made = work.training(options, 100, TOKENS)
    assert (made.rows, made.steps, made.updates) == expected


def test_few_rows_have_no_longest() -> None:
    assert TOKENS.longest_prompt(1) < TOKENS.longest_prompt(8) < TOKENS.longest_prompt(10_000)
    assert TOKENS.longest_prompt(10_000) == 160
    cut = TOKENS.at_most(105)
    assert cut.longest_prompt(10_000) == 100
    assert cut.prompt < 100


def test_a_size_by_config_and_by_name() -> None:
    assert SMOLLM2 and SMOLLM2.body == 106_203_456
    assert sizes.of_config({"hidden_size": 8}) is None
    named = sizes.of(Model(hub="owner/Some-Model-7B-chat"))
    assert named and named.known_by == "name"
    assert 30 <= named.layers <= 34
    assert math.isclose(named.hidden, 4096, rel_tol=0.05)


@pytest.mark.parametrize(
    ("hub", "parameters"),
    [
        ("HuggingFaceH4/zephyr-7b-beta", 7_000_000_000),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135_000_000),
        ("Qwen/Qwen2.5-1.5B", 1_500_000_000),
        ("openai-community/gpt2", None),
        ("org/4bit-model", None),
    ],
)
def test_parameters_by_a_name(
    hub: str, parameters: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = sizes.of(Model(hub=hub))
    assert (found and found.parameters) == parameters


@pytest.mark.parametrize(
    ("dtype", "made", "gigabytes"),
    [
        ("bfloat16", PromptingMethod(kind="prompting"), 14.0),
        ("float32", FULL, 112.0),  # weights, gradients, two moments
        ("bfloat16", FULL, 126.0),  # and the copy that autocast computes with
        ("bfloat16", LORA, 14.65),
        ("bfloat16", QLORA, 4.6),
    ],
)
def test_least_memory_of_a_model_of_7_billion(dtype: str, made: Any, gigabytes: float) -> None:
    size = sizes.of(Model(hub="owner/model-7b"))
    assert size
    model = LoadedModel.of(size, Model(hub="owner/model-7b", dtype=dtype), made)
    assert memory.least(model) / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_a_damaged_gguf_file_is_said(tmp_path: Any) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + b"\x00" * 8)
    with pytest.raises(SourceError):
        sizes.of(Model(path=str(file)))
