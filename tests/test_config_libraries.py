"""What params.yaml may hold is accepted by the libraries that it is for, mutated at random too."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from test_config_mutations import CONTENTS, HOSTILE, KEYS, assert_usable, checked, mutate

from tunebench.config import library, machine, trainer_fields, training_combinations
from tunebench.config.adapter_ranges import REQUIRED
from tunebench.config.options import Adapter, Generation, OwnTraining, Training
from tunebench.config.quantization import WIDTHS, Quantization
from tunebench.config.schema import Params, PeftMethod, TuningMethod

pytestmark = pytest.mark.slow

# values that some field takes, beside the hostile ones
WORDS: list[Any] = [
    *trainer_fields.schedules(), "adamw_torch", "sgd", "adafactor", "spawn", "group_by_length",
    "inductor", "warning", "underflow_overflow", "eval_loss", "float32", "bfloat16", "uint8", "nf4",
    "all-linear", ["q_proj"], {"q_proj": 2}, [[1], [2]], [[[1], -1.0]], [30, 1.05], "never", "relu",
    {"use_reentrant": False}, {"even_batches": False}, {"gradient_accumulation_kwargs": {}},
]  # fmt: skip
VALUES = [value for value in HOSTILE if value != "\ud800"] + WORDS
DRAWS = 4000
KINDS = ("replace", "delete", "rename", "insert", "duplicate")


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some studies are for a GPU, and would be refused elsewhere."""
    monkeypatch.setattr(machine, "has_gpu", lambda: True)


def accepted(kind: Any, fields: Any, around: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every field with every value that the configuration takes."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    for name in fields:
        for value in VALUES:
            try:
                yield adapter.validate_python({**around, name: copy.deepcopy(value)})
            except ValidationError:
                continue


def accept_training(settings: dict[str, Any], folder: Path) -> None:
    from transformers import TrainingArguments

    _, arguments = OwnTraining.part(copy.deepcopy(settings))
    defaults = {"report_to": "none", "use_cpu": True}
    TrainingArguments(**defaults | arguments | {"output_dir": str(folder)})


def accept_adapter(adapter: dict[str, Any]) -> None:
    from peft import get_peft_config

    steps = {"total_step": 10**9} if adapter["peft_type"] == "ADALORA" else {}
    get_peft_config({"task_type": "CAUSAL_LM", **steps, **copy.deepcopy(adapter)})


def accept_method(method: TuningMethod) -> None:
    from transformers import BitsAndBytesConfig

    if isinstance(method, PeftMethod):
        accept_adapter(method.adapter)
    if isinstance(method.quantization, dict):
        BitsAndBytesConfig(**method.quantization)


def test_training_arguments(tmp_path: Path) -> None:
    count = 0
    for settings in accepted(Training, trainer_fields.training_fields(), {}):
        together = list(training_combinations.faults(settings, validation_rows=4))
        if not together and not list(machine.training_faults("training", settings, gpu=False)):
            accept_training(settings, tmp_path)
            count += 1
    assert count > 300


def test_generation() -> None:
    from transformers import GenerationConfig

    given = list(accepted(Generation, library.generation_fields(), {}))
    for settings in given:
        GenerationConfig(**settings)
    assert len(given) > 200


def test_quantization() -> None:
    from transformers import BitsAndBytesConfig

    given = [
        settings
        for width in WIDTHS
        for settings in accepted(Quantization, library.quantization_fields(), {width: True})
    ]
    for settings in given:
        BitsAndBytesConfig(**settings)
    assert len(given) > 30


@pytest.mark.parametrize("peft_type", sorted(library.peft_types()))
def test_adapter(peft_type: str) -> None:
    fields = library.peft_fields(peft_type)
    needed = {key: 4 for key in REQUIRED if key in fields}
    given = list(accepted(Adapter, fields, {"peft_type": peft_type, **needed}))
    for adapter in given:
        accept_adapter(adapter)
    assert given or peft_type in ("MULTITASK_PROMPT_TUNING", "POLY", "XLORA")


def mutated(draws: int, *, seed: int) -> Iterator[Params]:
    """The parameters of random mutations of valid files that are still taken."""
    chance = random.Random(seed)
    for _ in range(draws):
        content = copy.deepcopy(chance.choice(CONTENTS))
        for _ in range(chance.choice([1, 1, 2])):
            kind, place = chance.choice(KINDS), chance.randrange(10**6)
            words = {"replace": VALUES, "duplicate": range(10**6)}.get(kind, KEYS)
            mutate(content, (kind, place, chance.choice(words), chance.choice(VALUES)))
        params = checked(content)
        if params is not None:
            yield params


def test_whole_mutated_files(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    runs = 0
    for params in mutated(DRAWS, seed=0):
        assert_usable(params)
        for name in params.grid.datasets:
            dataset = params.datasets[name]
            GenerationConfig(**params.generation_for(dataset))
            for method_name in params.grid.tuning:
                method = params.tuning_method(method_name)
                accept_method(method)
                training = params.training_for(dataset, method)
                if not list(machine.training_faults("training", training, gpu=False)):
                    accept_training(training, tmp_path)
                runs += 1
    assert runs > 200
