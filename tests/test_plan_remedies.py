"""What does not fit in memory, and the smallest change with which it does."""

import re

import pytest
from test_estimates import FULL, LORA, QV, smollm2, training

from tunebench.estimates import memory
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.seconds import Speed
from tunebench.estimates.work import Answering, Training, smaller
from tunebench.planning import remedies

SPEED = Speed(140e9)
PLACE = "methods.lora.training"
BIG = training(16, 100, 512)


def change(model: LoadedModel, work: Training, megabytes: float) -> str:
    return remedies.of_training(
        model, work, remedies.Places("lora", "posts"), fits=lambda peak: peak <= megabytes * 1e6,
        speed=SPEED, kind="cuda",
    )  # fmt: skip


def peak_mb(model: LoadedModel, work: Training) -> float:
    return memory.of_training(model, work, "cuda").total / 1e6


def test_rows_are_fewer_and_a_step_has_as_many() -> None:
    model = smollm2(QV)
    assert peak_mb(model, BIG) > 8000
    found = change(model, BIG, 7000)
    assert found == (
        "methods.lora.training.per_device_train_batch_size: 8,"
        " methods.lora.training.gradient_accumulation_steps: 2"
    )
    assert peak_mb(model, smaller(BIG, 8)) <= 7000


def test_the_faster_of_two_changes_is_taken() -> None:
    """A quarter of the rows costs less than checkpointing, eight rows' overhead does not."""
    model, small = smollm2(LORA), training(2, 100, 2048)
    only_one = peak_mb(model, smaller(small, 1)) + 1
    assert "per_device_train_batch_size: 1," in change(model, small, only_one)
    below_one = only_one - 2
    assert change(model, small, below_one) == f"{PLACE}.gradient_checkpointing: true"


def test_both_together_then_quantization_then_length() -> None:
    model, long = smollm2(LORA), training(16, 100, 4096)
    least = training(1, 100, 4096, checkpointing=True)
    quantized = LoadedModel(**vars(model) | {"quantization": "nf4"})
    both = change(model, long, peak_mb(model, least) + 1)
    assert both == (
        "methods.lora.training.per_device_train_batch_size: 1,"
        " methods.lora.training.gradient_accumulation_steps: 16,"
        " methods.lora.training.gradient_checkpointing: true"
    )
    assert change(model, long, peak_mb(quantized, least) + 1) == (
        f"methods.lora.quantization: nf4, {both}"
    )
    shorter = change(model, long, peak_mb(quantized, least) - 1)
    assert shorter.endswith("gradient_checkpointing: true, datasets.posts.max_length: 2048")
    assert change(model, long, 10) == remedies.HARDER


def test_full_training_is_not_quantized() -> None:
    found = change(smollm2(FULL), BIG, 2300)
    assert "quantization" not in found
    assert re.search("gradient_checkpointing|max_length|smaller model", found)


@pytest.mark.parametrize("megabytes", [300, 700, 1500, 3000, 6000, 9000])
def test_a_remedy_that_is_named_fits(megabytes: float) -> None:
    """Read what is named, and apply it."""
    model = smollm2(LORA)
    found = change(model, BIG, megabytes)
    if found == remedies.HARDER:
        assert megabytes == 300
        return
    rows = int(match[1]) if (match := re.search(r"train_batch_size: (\d+)", found)) else BIG.rows
    changed = smaller(BIG, rows)
    values = vars(changed) | {"checkpointing": "checkpointing: true" in found}
    if match := re.search(r"max_length: (\d+)", found):
        values["longest"] = int(match[1])
        assert "max_length: 0" not in found
    if "nf4" in found:
        model = LoadedModel(**vars(model) | {"quantization": "nf4"})
    assert changed.rows * changed.accumulation == BIG.rows
    assert peak_mb(model, Training(**values)) <= megabytes


def test_an_evaluation_in_smaller_batches() -> None:
    asked = Answering(200, 1, 300.0, 300.0, 0, 40.0, 60, 600, 16384)
    model = smollm2(QV)
    whole = memory.of_answering(model, asked, "cuda").total
    found = remedies.of_answering(model, asked, fits=lambda peak: peak < whole, kind="cuda")
    assert found == "evaluation.batch_tokens: 8192"
    none = remedies.of_answering(model, asked, fits=lambda _: False, kind="cuda")
    assert none == remedies.HARDER
