"""A misspelt key of any mapping that a library reads is refused, with the name that was meant."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tunebench.config import library, trainer_fields
from tunebench.config.adapter_options import REFUSED_FIELDS
from tunebench.config.options import Adapter, Generation, Training
from tunebench.config.quantization import Quantization

GENERATION, TRAINING, ADAPTER, QUANTIZATION = (
    TypeAdapter(kind) for kind in (Generation, Training, Adapter, Quantization)
)
NESTED_TRAINING = (
    "accelerator_config",
    "activation_checkpointing_kwargs",
    "gradient_checkpointing_kwargs",
    "fsdp_config",
    "lr_scheduler_kwargs",
)
LORA = library.peft_fields("LORA")
NESTED_LORA = [name for name in LORA if LORA[name].fields and name not in REFUSED_FIELDS]


def lora(name: str) -> Callable[[str], Any]:
    inits = {"init_lora_weights": "loftq"} if name == "loftq_config" else {}
    return lambda key: ADAPTER.validate_python({"peft_type": "LORA", **inits, name: {key: 1}})


def training(name: str) -> Callable[[str], Any]:
    return lambda key: TRAINING.validate_python({name: {key: 1}})


def peft(kind: str) -> Callable[[str], Any]:
    return lambda key: ADAPTER.validate_python({"peft_type": kind, key: 1})


def accumulation(key: str) -> Any:
    nested = {"gradient_accumulation_kwargs": {key: 1}}
    return TRAINING.validate_python({"accelerator_config": nested})


# each mapping: its names, and how a key gets into it
MAPPINGS: dict[str, tuple[Iterable[str], Callable[[str], Any]]] = {
    "generation": (
        library.generation_fields(),
        lambda key: GENERATION.validate_python({key: 1}),
    ),
    "watermarking_config": (
        library.watermarking_fields(),
        lambda key: GENERATION.validate_python({"watermarking_config": {key: 1}}),
    ),
    "quantization": (
        library.quantization_fields(),
        lambda key: QUANTIZATION.validate_python({key: True}),
    ),
    "training": (
        trainer_fields.training_fields(),
        lambda key: TRAINING.validate_python({key: 1}),
    ),
    **{
        name: (trainer_fields.nested_fields(name) or {}, training(name)) for name in NESTED_TRAINING
    },
    "gradient_accumulation_kwargs": (
        trainer_fields.accelerator_fields()["gradient_accumulation_kwargs"].fields or {},
        accumulation,
    ),
    "optim_args": (
        trainer_fields.optimizer_arguments(),
        lambda key: TRAINING.validate_python({"optim_args": f"{key}=1"}),
    ),
    **{kind: (library.peft_fields(kind), peft(kind)) for kind in sorted(library.peft_types())},
    **{name: (LORA[name].fields or {}, lora(name)) for name in NESTED_LORA},
}


def misspelt(name: str) -> Iterator[str]:
    """One letter left out, written twice, or put before the one in front of it."""
    at = len(name) // 2
    yield name[:at] + name[at + 1 :]
    yield name[:at] + name[at] + name[at:]
    yield name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_misspelt_key(mapping: str) -> None:
    names, give = MAPPINGS[mapping]
    known = set(names)
    asked = answered = 0
    for name in known:
        for wrong in {*misspelt(name)} - known - {""}:
            with pytest.raises(ValidationError) as caught:
                give(wrong)
            told = str(caught.value)
            assert "unknown key" in told, wrong
            asked += 1
            answered += f"did you mean {name!r}?" in told
    assert asked >= 2 * len(known) > 0
    # of two names that differ in one letter, as bf16 and fp16, the other one may be as near
    assert answered >= 0.95 * asked


def test_every_mapping_of_the_libraries_is_among_them() -> None:
    assert len(MAPPINGS) >= 55
    assert set(NESTED_LORA) == {
        "kasa_config",
        "loftq_config",
        "monteclora_config",
        "use_bdlora",
        "velora_config",
    }
    fields = trainer_fields.training_fields()
    mappings = {name for name in fields if "dict" in fields[name].kinds}
    assert mappings - set(NESTED_TRAINING) == {
        "deepspeed",  # another library's own schema
        "liger_kernel_config",  # names that depend on the architecture
        "parallelism_config",  # refused: it takes an object
    }


def test_mappings_of_peft_that_are_free() -> None:
    free = set()
    for kind in library.peft_types():
        fields = library.peft_fields(kind)
        free |= {
            name for name in fields if "dict" in fields[name].kinds and fields[name].fields is None
        }
    assert free == {
        # patterns of module names
        "alpha_pattern",
        "block_size_pattern",
        "lambda_pattern",
        "n_frequency_pattern",
        "rank_pattern",
        "target_svd_config",
        "trainable_token_indices",
        # of a tokenizer's class, of Megatron, of X-LoRA's adapters, and PEFT's own note
        "tokenizer_kwargs",
        "megatron_config",
        "adapters",
        "auto_mapping",
    }
