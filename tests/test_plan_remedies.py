"""What does not fit in memory, and the smallest change with which it does."""

import re

import pytest
from test_estimates import FULL, LORA, QV, smollm2, training

from tunebench.estimates import memory
from tunebench.estimates.seconds import Speed
from tunebench.estimates.subject import Subject
from tunebench.estimates.work import Answering, Training, smaller
from tunebench.planning import remedies

SPEED = Speed(140e9)
PLACE = "methods.lora.training"
BIG = training(16, 100, 512)


def change(subject: Subject, work: Training, megabytes: float) -> str:
    return remedies.of_training(
        subject, work, remedies.Places("lora", "posts"), fits=lambda peak: peak <= megabytes * 1e6,
        speed=SPEED, kind="cuda",
    )  # fmt: skip


def peak_mb(subject: Subject, work: Training) -> float:
    return memory.of_training(subject, work, "cuda").total / 1e6


def test_rows_are_fewer_and_a_step_has_as_many() -> None:
    subject = smollm2(QV)
    assert peak_mb(subject, BIG) > 8000
    found = change(subject, BIG, 7000)
    assert found == (
        "methods.lora.training.per_device_train_batch_size: 8,"
        " methods.lora.training.gradient_accumulation_steps: 2"
    )
    assert peak_mb(subject, smaller(BIG, 8)) <= 7000


def test_the_faster_of_two_changes_is_taken() -> None:
    """A quarter of the rows costs less than checkpointing, eight rows' overhead does not."""
    subject, small = smollm2(LORA), training(2, 100, 2048)
    only_one = peak_mb(subject, smaller(small, 1)) + 1
    assert "per_device_train_batch_size: 1," in change(subject, small, only_one)
    below_one = only_one - 2
    assert change(subject, small, below_one) == f"{PLACE}.gradient_checkpointing: true"


def test_both_together_then_quantization_then_length() -> None:
    subject, long = smollm2(LORA), training(16, 100, 4096)
    least = training(1, 100, 4096, checkpointing=True)
    quantized = Subject(**vars(subject) | {"quantization": "nf4"})
    both = change(subject, long, peak_mb(subject, least) + 1)
    assert both == (
        "methods.lora.training.per_device_train_batch_size: 1,"
        " methods.lora.training.gradient_accumulation_steps: 16,"
        " methods.lora.training.gradient_checkpointing: true"
    )
    assert change(subject, long, peak_mb(quantized, least) + 1) == (
        f"methods.lora.quantization: nf4, {both}"
    )
    shorter = change(subject, long, peak_mb(quantized, least) - 1)
    assert shorter.endswith("gradient_checkpointing: true, datasets.posts.max_length: 2048")
    assert change(subject, long, 10) == remedies.HARDER


def test_full_training_is_not_quantized() -> None:
    found = change(smollm2(FULL), BIG, 2300)
    assert "quantization" not in found
    assert re.search("gradient_checkpointing|max_length|smaller model", found)


@pytest.mark.parametrize("megabytes", [300, 700, 1500, 3000, 6000, 9000])
def test_a_remedy_that_is_named_fits(megabytes: float) -> None:
    """Read what is named, and apply it."""
    subject = smollm2(LORA)
    found = change(subject, BIG, megabytes)
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
        subject = Subject(**vars(subject) | {"quantization": "nf4"})
    assert changed.rows * changed.accumulation == BIG.rows
    assert peak_mb(subject, Training(**values)) <= megabytes


def test_an_evaluation_in_smaller_batches() -> None:
    asked = Answering(200, 1, 300.0, 300.0, 0, 40.0, 60, 600, 16384)
    subject = smollm2(QV)
    whole = memory.of_answering(subject, asked, "cuda").total
    found = remedies.of_answering(subject, asked, fits=lambda peak: peak < whole, kind="cuda")
    assert found == "evaluation.batch_tokens: 8192"
    none = remedies.of_answering(subject, asked, fits=lambda _: False, kind="cuda")
    assert none == remedies.HARDER
