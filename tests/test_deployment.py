"""How each method can be served, held against what PEFT itself does when asked to merge."""

from typing import Any

import pytest
from test_adapters import KEYS, TARGETS

from tunebench import models
from tunebench.config import library
from tunebench.config.options import UNTRAINABLE_PEFT_TYPES
from tunebench.config.schema import Params, PeftMethod
from tunebench.models import deployment
from tunebench.report import deployment as table

LORA: dict[str, Any] = {"peft_type": "LORA", **TARGETS}
IDS = [[1, 9, 20, 31, 77, 40, 12]]


def drawn(tiny: models.Base, adapter: dict[str, Any]) -> Any:
    """The tiny model with an adapter whose weights are drawn, so that it does something."""
    import torch

    method = PeftMethod.model_construct(kind="peft", adapter=adapter, quantization=None)
    adapted = models.with_adapter(models.load(tiny, method), method, {}).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.02)
    return adapted


def merges(adapted: Any) -> bool:
    """Whether PEFT merges it into a model that answers the same."""
    import torch

    ids = torch.tensor(IDS)
    with torch.no_grad():
        before = adapted(ids).logits[:, -ids.shape[1] :]
        try:
            merged = adapted.merge_and_unload()
        except (AttributeError, NotImplementedError, ValueError, RuntimeError):
            return False
        return torch.allclose(merged(ids).logits, before, atol=1e-3)


@pytest.mark.parametrize("peft_type", sorted(library.peft_types() - set(UNTRAINABLE_PEFT_TYPES)))
def test_peft_merges_what_is_called_mergeable(peft_type: str, tiny: models.Base) -> None:
    adapter = {"peft_type": peft_type, **KEYS.get(peft_type, TARGETS)}
    assert merges(drawn(tiny, adapter)) is not bool(deployment.merge_fault(adapter))


@pytest.mark.parametrize(
    "more",
    [
        {"use_dora": True}, {"use_rslora": True}, {"bias": "all"}, {"init_lora_weights": "pissa"},
        {"modules_to_save": ["lm_head"]}, {"alpha_pattern": {"q_proj": 32}},
        {"alora_invocation_tokens": [20, 31]}, {"lora_bias": True},
        {"layer_replication": [[0, 2], [1, 2]]},
    ],
    ids=str,
)  # fmt: skip
def test_peft_merges_each_kind_of_lora_that_is_called_mergeable(
    more: dict[str, Any], tiny: models.Base
) -> None:
    adapter = LORA | more
    assert merges(drawn(tiny, adapter)) is not bool(deployment.merge_fault(adapter))


def test_both_answers_are_found() -> None:
    found = {peft_type: library.merges(peft_type) for peft_type in library.peft_types()}
    assert {"LORA", "ADALORA", "LOHA", "IA3", "LN_TUNING"} <= {
        name for name in found if found[name]
    }
    assert {name for name in found if not found[name]} >= {
        "PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "ADAPTION_PROMPT", "LILY", "SHADOW",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({}, ""),
        ({"r": 512, "lora_alpha": 16, "lora_dropout": 0.1, "use_rslora": True}, ""),
        ({"bias": "none", "modules_to_save": None, "use_dora": False, "rank_pattern": {}}, ""),
        ({"init_lora_weights": "gaussian"}, ""),
        ({"target_modules": "all-linear", "layers_to_transform": [0, 1]}, ""),
        ({"r": 513}, "vLLM takes a rank of 512 at most, not 513"),
        ({"use_dora": True}, "vLLM takes no use_dora"),
        ({"modules_to_save": ["lm_head"]}, "vLLM takes no modules_to_save"),
        ({"bias": "lora_only"}, "vLLM takes no bias"),
        # it reads one rank and one alpha, and would scale the others wrongly
        ({"rank_pattern": {"q_proj": 4}}, "vLLM takes no rank_pattern"),
        ({"init_lora_weights": "pissa_niter_4"},
         "init_lora_weights: pissa_niter_4 changes the base's weights"),
        ({"peft_type": "ADALORA"}, "vLLM's adapters are LORA, not ADALORA"),
    ],
)  # fmt: skip
def test_what_vllm_takes(more: dict[str, Any], fault: str) -> None:
    assert deployment.vllm_fault(LORA | more) == fault


def test_keys_and_default_are_those_of_peft() -> None:
    from peft import LoraConfig

    assert set(library.peft_fields("LORA")) >= deployment.PLAIN
    assert LoraConfig().r == deployment.DEFAULT_RANK


def test_table_tells_how_each_method_is_served(valid: dict[str, Any]) -> None:
    peft = {
        "dora": LORA | {"use_dora": True},
        "prompt_tuning": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5},
        "alora": LORA | {"alora_invocation_tokens": [20]},
    }
    for name, adapter in peft.items():
        valid["methods"][name] = {"kind": "peft", "adapter": adapter}
    valid["grid"] |= {"prompting": ["zero_shot"], "tuning": ["lora", "full", *peft]}
    rows = table.build(Params.model_validate(valid))["deployment"]
    assert [tuple(row.values()) for row in rows] == [
        ("zero_shot", "the untouched base", "", "", "", ""),
        ("lora", "an adapter or a merged model", "yes", "yes", "yes", ""),
        ("full", "a whole model of its own", "", "no", "no", ""),
        ("dora", "a merged model", "yes", "no", "no", "vLLM takes no use_dora"),
        (
            "prompt_tuning", "in-process only", "no", "no", "no",
            "PEFT does not merge PROMPT_TUNING; vLLM's adapters are LORA, not PROMPT_TUNING",
        ),
        (
            "alora", "in-process only", "no", "no", "no",
            "PEFT does not merge alora_invocation_tokens; vLLM takes no alora_invocation_tokens",
        ),
    ]  # fmt: skip
