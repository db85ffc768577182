"""Names read from the libraries' source are the ones that the imported classes have."""

import ast
import dataclasses
import inspect

import pytest

from tunebench.config import library, source, trainer_fields, types
from tunebench.config.generation_options import REFUSED


def names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_training_fields() -> None:
    from transformers import TrainingArguments

    assert set(trainer_fields.training_fields()) == names(TrainingArguments)


def test_generation_fields() -> None:
    from transformers import GenerationConfig

    found = set(library.generation_fields())
    known = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    assert found == known
    assert len(found) >= 40


def test_peft_types_and_their_fields() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    real = {str(kind.value): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    assert library.peft_types() == set(real)
    assert len(real) >= 25
    for kind, cls in real.items():
        assert set(library.peft_fields(kind)) == names(cls), kind


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("float", 2e-4, True),
        ("float", 2, True),
        ("float", "2e-4", False),
        ("float", True, False),
        ("int", 1.5, False),
        ("int | None", None, True),
        ("Optional[int]", None, True),
        ("int", None, False),
        ("bool", "yes", False),
        ("str", 5, False),
        ("dict | str | None", {"a": 1}, True),
        ("dict[str, bool] | None", {"a": 1}, False),
        ("list[str] | str", ["a"], True),
        ("list[str] | str", ["a", 1], False),
        ("SaveStrategy | str", 5, False),
        ("SaveStrategy | str", "epoch", True),
        ("SaveStrategy | str", "epochs", False),
        ("Literal['a']", "b", False),
        ("bool | Literal['a', 'n_[number]']", "n_12", True),
        ("bool | Literal['a', 'n_[number]']", "n_x", False),
        ("bool | Literal['a', 'n_[number]']", False, True),
        ("AcceleratorConfig", {"split_batches": True}, True),
        ("AcceleratorConfig", {"split_batch": True}, False),
        ("SomethingElse | None", {"a": 1}, True),
        ("Any", object(), True),
    ],
)
def test_what_an_annotation_takes(annotation: str, value: object, fits: bool) -> None:
    path = source.folder("transformers") / "training_args.py"
    wanted = types.of(ast.parse(annotation, mode="eval").body, path)
    assert (types.faults("x", value, wanted) == []) is fits


def test_every_documented_generation_field_has_a_type() -> None:
    fields = library.generation_fields()
    untold = {name for name in fields if not fields[name].kinds}
    # which transformers keeps for old configurations, and `prefill_chunk_size`
    assert untold - set(REFUSED) == {"prefill_chunk_size"}
    assert len(fields) - len(untold) >= 55


def test_choices_are_those_of_the_imported_enumerations() -> None:
    from transformers import trainer_utils, training_args

    fields = trainer_fields.training_fields()
    for name, enumeration in (
        ("optim", training_args.OptimizerNames),
        ("lr_scheduler_type", trainer_utils.SchedulerType),
        ("save_strategy", trainer_utils.SaveStrategy),
        ("eval_strategy", trainer_utils.IntervalStrategy),
        ("logging_strategy", trainer_utils.IntervalStrategy),
        ("hub_strategy", trainer_utils.HubStrategy),
    ):
        assert fields[name].words == tuple(enumeration._value2member_map_), name
    assert set(trainer_fields.schedules()) == set(fields["lr_scheduler_type"].words)


def test_schedules_take_what_their_functions_do() -> None:
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    for kind, make in TYPE_TO_SCHEDULER_FUNCTION.items():
        given = set(inspect.signature(make).parameters) - trainer_fields.SET_BY_TRAINER
        if given != {"kwargs"}:
            assert set(trainer_fields.schedule(kind.value)) == given, kind
    assert "patience" in trainer_fields.schedule("reduce_lr_on_plateau")
    assert "window_size" in trainer_fields.schedule("greedy")


def test_nested_fields_are_those_of_the_imported_classes() -> None:
    from accelerate.utils import GradientAccumulationPlugin
    from peft.tuners.lora import config as lora
    from transformers import BitsAndBytesConfig
    from transformers.generation import WatermarkingConfig
    from transformers.trainer_pt_utils import AcceleratorConfig

    accelerator = trainer_fields.accelerator_fields()
    assert set(accelerator) == names(AcceleratorConfig)
    inner = accelerator["gradient_accumulation_kwargs"].fields
    assert set(inner or ()) == names(GradientAccumulationPlugin)
    for found, cls in (
        (library.quantization_fields(), BitsAndBytesConfig),
        (library.watermarking_fields(), WatermarkingConfig),
    ):
        assert set(found) == set(inspect.signature(cls).parameters) - {"kwargs"}
    fields = library.peft_fields("LORA")
    nested = {name: set(inner) for name in fields if (inner := fields[name].fields)}
    assert nested == {
        name: {field.name for field in dataclasses.fields(cls) if field.init}
        for name, cls in {
            "arrow_config": lora.ArrowConfig,
            "corda_config": lora.CordaConfig,
            "eva_config": lora.EvaConfig,
            "kasa_config": lora.KasaConfig,
            "loftq_config": lora.LoftQConfig,
            "lora_ga_config": lora.LoraGAConfig,
            "monteclora_config": lora.MontecloraConfig,
            "runtime_config": lora.LoraRuntimeConfig,
            "use_bdlora": lora.BdLoraConfig,
            "velora_config": lora.VeloraConfig,
        }.items()
    }
