"""Lengths in tokens, and sizes for a machine: `tunebench init`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunebench.config import schema
from tunebench.config.data import Template
from tunebench.data.tables import TextRow
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.sizes import Size
from tunebench.formatting import templates
from tunebench.init import lengths
from tunebench.init.machine import Machine
from tunebench.prompts import tokenization

SMALL = Machine(cores=2, free_bytes=8 * 10**9)
GPU = replace(SMALL, free_bytes=80 * 10**9, gpu="H100")
SMOLLM2 = LoadedModel.of(
    Size(134_515_008, 28_311_552, 0, 30, 576, 1536, 576, 192, 49152, 8192),
    schema.Model(path="model", dtype="float32"),
    schema.PeftMethod(
        kind="peft", adapter={"peft_type": "LORA", "r": 16, "target_modules": "all-linear"}
    ),
)
ROWS: list[TextRow] = [
    {"id": f"train-{n}", "text": "ещё один текст, some words " * (1 + n % 5), "target": "yes"}
    for n in range(20)
]


@pytest.mark.parametrize(
    ("free", "tokens", "batch"), [(80e9, 512, 8), (8e9, 256, 4), (8e9, 2048, 1), (0.0, 64, 1)]
)
def test_a_batch_fits_the_memory(free: float, tokens: int, batch: int) -> None:
    machine = replace(SMALL, free_bytes=int(free))
    found = machine.batch_size(8, models=[SMOLLM2], tokens=tokens)
    assert found == batch


@pytest.mark.parametrize(
    ("machine", "available", "parameters", "labels", "sizes"),
    [
        (SMALL, 240, 1_000_000, 3, [10, 50, 1.0]),
        (SMALL, 240, 1_000_000, 40, [50, 1.0]),
        (SMALL, 25, 1_000_000, 2, [5, 1.0]),
        (SMALL, 25_000, 135_000_000, 2, [5, 20, 100]),
        (GPU, 25_000, 135_000_000, 2, [1000, 5000, 1.0]),
        (GPU, 25_000, 7_000_000_000, 2, [50, 200, 1000]),
    ],
)
def test_train_sizes_make_a_curve_within_the_rows(
    machine: Machine, available: int, parameters: int, labels: int, sizes: list[float]
) -> None:
    found = machine.train_sizes(
        available, parameters=parameters, tokens=300.0, epochs=3.0, fewest=labels
    )
    assert found == sizes


def test_test_rows_within_the_budget() -> None:
    asked = {"tokens": 300.0, "written": 0}
    assert SMALL.test_rows(60, parameters=1_000_000, **asked) == 60
    assert SMALL.test_rows(25_000, parameters=1_000_000, **asked) == 1000
    assert SMALL.test_rows(25_000, parameters=135_000_000, **asked) == 100
    assert SMALL.test_rows(40, parameters=7_000_000_000, **asked) == 40
    assert GPU.test_rows(25_000, parameters=7_000_000_000, **asked) == 1000


def test_lengths_are_those_of_the_prompts(model_folder: Path, tokenizer: Any) -> None:
    base = lengths.base("tiny", schema.Model(path=str(model_folder)))
    shown = Template(
        prompt="{instruction}\n{shots}Text: {text}\nAnswer: ", shot="{text}{completion}"
    )
    found = lengths.measure(base, shown, ROWS, instruction="Say.", labels=["yes", "no"])
    layout = templates.build_layout(shown, tokenizer, instruction="Say.")
    prompts = tokenization.contexts(tokenizer, [layout.fill(row, []) for row in ROWS])
    assert len(found.prompts) == 20
    assert max(abs(len(ids) - said) for ids, said in zip(prompts, found.prompts, strict=True)) <= 1
    several = lengths.with_shots(base, shown, ROWS, instruction="Say.", shots=2)
    assert len(several) == 6  # three rows each
    assert min(several) > max(found.texts)


def test_a_model_that_is_not_here_is_estimated() -> None:
    base = lengths.base("far", schema.Model(hub="someone/far-1.5B-chat"))
    assert (base.tokenizer, base.parameters) == (None, 1_500_000_000)
    shown = Template.model_validate(lengths.PLAIN)
    found = lengths.measure(base, shown, ROWS, instruction="Say.", labels=[])
    assert found.estimated
    assert found.prompts > found.texts
    assert lengths.with_shots(base, shown, ROWS, instruction="Say.", shots=2) > found.prompts


@pytest.mark.parametrize(("fraction", "value"), [(0.0, 1), (0.5, 5), (0.95, 10), (1.0, 10)])
def test_percentiles(fraction: float, value: int) -> None:
    assert lengths.percentile(list(range(10, 0, -1)), fraction) == value
