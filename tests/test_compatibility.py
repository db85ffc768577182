"""Methods whose adapter does not fit the model are refused by `fetch_model`, all at once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from peft_kinds import KEYS, TARGETS
from projects import Project

from tunebench import models
from tunebench.config import library
from tunebench.config.adapter_options import UNTRAINABLE_PEFT_TYPES
from tunebench.config.schema import PeftMethod
from tunebench.errors import ParameterError
from tunebench.models import adapters, compatibility, weights

Fields = dict[str, Any]
LORA: Fields = {"peft_type": "LORA", "r": 2}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2}
EXPERTS = {**HEADS, "num_key_value_heads": 2, "intermediate_size": 64}
ARCHITECTURES: dict[str, Fields] = {
    "llama": {**HEADS, "intermediate_size": 64},
    "gpt2": {"n_head": 2, "n_layer": 2},
    "gpt_neox": {**HEADS, "intermediate_size": 64},
    "mixtral": EXPERTS | {"num_local_experts": 4},
    "qwen3_moe": EXPERTS | {"num_experts": 4, "moe_intermediate_size": 32},
    "bitnet": {**HEADS, "intermediate_size": 64},
    "mamba": {"state_size": 8},
}


def write_config(folder: Path, kind: str) -> Path:
    config = {"model_type": kind, "vocab_size": 100, **SHAPE, **ARCHITECTURES[kind]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def faults(
    folder: Path, adapters_given: Mapping[str, Fields], quantization: Any = None
) -> list[str]:
    methods = {
        name: {"kind": "peft", "quantization": quantization, "adapter": adapter}
        for name, adapter in adapters_given.items()
    }
    try:
        compatibility.check_methods("tiny", folder, methods)
    except ParameterError as error:
        return error.faults
    return []


GPT2 = "c_attn, c_proj, c_fc, lm_head"
CASES: list[tuple[str, Fields, str]] = [
    ("llama", LORA | {"target_modules": ["q_proj", "v_proj"]}, ""),
    ("llama", LORA, ""),
    ("llama", LORA | {"target_modules": "all-linear"}, ""),
    ("llama", LORA | {"target_modules": "model.layers.1.*_proj"}, ""),
    ("gpt2", LORA | {"target_modules": ["q_proj", "v_proj"]},
     f".target_modules: the model has no module 'q_proj' nor 'v_proj'; did you mean 'c_proj'?"
     f" It has {GPT2}"),
    ("gpt2", LORA | {"target_modules": "q_proj|v_proj"},
     ".target_modules: 'q_proj|v_proj' matches no module's whole name; to name modules by their"
     f" ends, list them, as [c_attn, c_proj]. It has {GPT2}"),
    ("gpt2", {"peft_type": "BOFT", "target_modules": "all-linear"},
     ": Target module Conv1D(nf=96, nx=32) is not supported."),
    ("gpt2", {"peft_type": "LN_TUNING"}, ""),
    ("gpt_neox", LORA | {"target_modules": ["q_proj"]},
     ".target_modules: the model has no module 'q_proj'; choose from: dense, dense_4h_to_h,"
     " dense_h_to_4h, lm_head, query_key_value"),
    ("gpt_neox", {"peft_type": "LN_TUNING"},
     ".target_modules: is missing, and PEFT has no default for gpt_neox models; choose from"),
    ("gpt_neox", {"peft_type": "ADAPTION_PROMPT", "adapter_len": 2, "adapter_layers": 2},
     ": Unsupported model type for adaption prompt: 'gpt_neox'"),
    ("mixtral", LORA | {"target_modules": ["w1"]},
     ".target_modules: the model has no module 'w1'; choose from: k_proj, lm_head, o_proj, q_proj,"
     " v_proj, and fused experts for target_parameters: mlp.experts.gate_up_proj,"
     " mlp.experts.down_proj"),
    ("mixtral", LORA | {"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]}, ""),
    ("qwen3_moe", LORA | {"target_modules": ["q_proj"], "target_parameters": ["experts.up_proj"]},
     ".target_parameters: the model has no parameter 'experts.up_proj'; did you mean"
     " 'mlp.experts.gate_up_proj'?"),
    ("bitnet", LORA, ".target_modules: is missing, and PEFT has no default for bitnet models;"),
    ("bitnet", LORA | {"target_modules": ["q_proj"]}, ""),
    ("mamba", LORA | {"target_modules": "all-linear"},
     ": [PEFT:PeftType.LORA] Module 'out_proj' is incompatible with Mamba-based models"),
    ("mamba", LORA | {"target_modules": ["in_proj"]}, ""),
    ("mamba", {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2},
     ": Please specify `num_attention_heads` in `peft_config`"),
    ("llama", LORA | {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]},
     ".layers_to_transform: the model has no layer 2; its layers are 0 to 1"),
    ("llama", LORA | {"target_modules": ["q_proj"], "layers_to_transform": 1}, ""),
    ("llama", LORA | {"target_modules": ["q_proj"], "modules_to_save": ["norms"]},
     ".modules_to_save: the model has no module 'norms'; choose from: down_proj"),
    ("llama", LORA | {"target_modules": ["q_proj"], "r": 33},
     ": rank 33 is above that of model.layers.0.self_attn.q_proj, which is 32 × 32; lower r"),
    ("llama", {"peft_type": "IA3"}, ""),
    ("bitnet", {"peft_type": "IA3"},
     ".target_modules: is missing, and PEFT has no default for bitnet models;"),
    ("llama", {"peft_type": "ADALORA", "target_modules": "all-linear"}, ""),
    ("llama", {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}, ""),
    # what is made from the weights is not decided here
    ("llama", LORA | {"target_modules": ["q_proj"], "init_lora_weights": "pissa"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "adapter", "fault"), CASES)
def test_adapter_on_an_architecture(kind: str, adapter: Fields, fault: str, tmp_path: Path) -> None:
    found = faults(write_config(tmp_path, kind), {"m": adapter})
    assert len(found) == bool(fault)
    for line in found:
        assert line.startswith(f"params.yaml: methods.m.adapter{fault}")
        assert line.endswith(" (models.tiny)")
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantized_layers(quantization: str, tmp_path: Path) -> None:
    folder = write_config(tmp_path, "llama")
    given = {"fits": LORA | {"target_modules": "all-linear"},
             "lacks": LORA | {"target_modules": ["c_attn"]}}  # fmt: skip
    config = models.quantization_config(quantization)
    layer = weights.empty(folder, config).model.layers[0].self_attn.q_proj
    assert type(layer).__module__.startswith("bitsandbytes")
    (line,) = faults(folder, given, quantization)
    assert line.startswith("params.yaml: methods.lacks.adapter.target_modules: the model has no m")


def test_every_method_is_named(tmp_path: Path) -> None:
    wrong = LORA | {"target_modules": ["query"]}
    given = {"a": wrong, "b": LORA | {"target_modules": ["q_proj"]}, "c": wrong}
    found = faults(write_config(tmp_path, "llama"), given)
    assert [line.split(".adapter")[0] for line in found] == [
        "params.yaml: methods.a", "params.yaml: methods.c"
    ]  # fmt: skip


@pytest.mark.parametrize("peft_type", sorted(library.peft_types() - set(UNTRAINABLE_PEFT_TYPES)))
def test_method_that_trains_is_not_refused(peft_type: str, model_folder: Path) -> None:
    assert not faults(model_folder, {"m": {"peft_type": peft_type, **KEYS.get(peft_type, TARGETS)}})


def test_empty_model_takes_no_memory_and_has_every_module(model_folder: Path, model: Any) -> None:
    empty = weights.empty(model_folder)
    assert {weight.device.type for weight in empty.parameters()} == {"meta"}
    assert [name for name, _ in empty.named_modules()] == [
        name for name, _ in model.named_modules()
    ]
    adapted = adapters.attach(empty, LORA)
    assert adapted.get_nb_trainable_parameters()[0] > 0


@pytest.mark.slow
def test_stage_lists_what_does_not_fit(project: Project, valid: Fields) -> None:
    valid["methods"]["lora"]["adapter"]["target_modules"] = ["query", "value"]
    valid["methods"]["other"] = {"kind": "peft", "adapter": LORA | {"target_modules": ["v_prj"]}}
    valid["methods"]["unused"] = {"kind": "peft", "adapter": LORA | {"target_modules": ["x"]}}
    valid["grid"]["tuning"] = ["lora", "other", "full"]
    project.write_params(valid)
    assert project.run("check").returncode == 0
    done = project.run("fetch_model", "--model", "tiny")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(
        "error: params.yaml: methods.lora.adapter.target_modules: the model has"
    )
    assert second.startswith(
        "error: params.yaml: methods.other.adapter.target_modules: the model h"
    )
    assert not (project.folder / "data/models/tiny.json").exists()
    valid["grid"]["tuning"] = ["full"]
    project.write_params(valid)
    assert project.run("check").returncode == 0
    assert project.run("fetch_model", "--model", "tiny").returncode == 0


def test_methods_as_the_check_writes_them(valid: Fields) -> None:
    method = PeftMethod.model_validate(valid["methods"]["lora"])
    written = json.loads(json.dumps(method.model_dump(include={"kind", "quantization", "adapter"})))
    assert PeftMethod.model_validate(written).adapter == method.adapter
