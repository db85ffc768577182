"""A merged model is plain weights, and answers as the adapter did that was merged in."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_tokenizer
from tunebench import models
from tunebench.answering import merging
from tunebench.config.schema import FullMethod, Model, PeftMethod, PromptingMethod

QV = ["q_proj", "v_proj"]
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": QV}
DORA = LORA | {"use_dora": True}
IA3 = {
    "peft_type": "IA3",
    "target_modules": ["k_proj", "down_proj"],
    "feedforward_modules": ["down_proj"],
}
VIRTUAL = "adds what no weight of the model can hold"
IDS = [[1, 9, 20, 31, 77, 40, 12], [1, 8, 21, 30, 76, 41, 13]]


def peft(adapter: dict[str, Any], quantization: Any = None) -> PeftMethod:
    return PeftMethod(kind="peft", adapter=adapter, quantization=quantization)


def trained(base: models.Base, method: PeftMethod, folder: Path) -> Path:
    """An adapter whose every weight has been moved, as training leaves it."""
    import torch

    adapted = models.with_adapter(models.load(base, method), method, {})
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model.eval()(torch.tensor(IDS)).logits


def load_saved(model: Any, folder: Path) -> Any:
    """What anybody gets who loads the weights that it wrote, and knows of no adapter."""
    from transformers import AutoModelForCausalLM

    model.save_pretrained(folder)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("adapter", "quantization"),
    [(LORA, None), (LORA, "nf4"), (LORA, "fp4"), (DORA, None), (DORA, "nf4"), (IA3, None),
     (IA3, "nf4")],
    ids=["lora", "lora nf4", "lora fp4", "dora", "dora nf4", "ia3", "ia3 nf4"],
)  # fmt: skip
def test_merged_answers_as_attached_wherever_it_is_loaded(
    adapter: dict[str, Any], quantization: str | None, tiny: models.Base, tmp_path: Path
) -> None:
    import torch

    method = peft(adapter, quantization)
    folder = trained(tiny, method, tmp_path / "adapter")
    attached = logits(models.load(tiny, method, trained=folder))
    merged = merging.merge(tiny, method, folder)
    assert merged is not None
    assert not hasattr(merged, "peft_config")
    assert all(weight.dtype == torch.float32 for weight in merged.parameters())
    saved = load_saved(merged, tmp_path / "merged")
    linear = {type(module) for module in saved.modules() if hasattr(module, "in_features")}
    assert linear == {torch.nn.Linear}
    for found in (merged, saved):
        assert torch.allclose(logits(found), attached, atol=1e-4)
    untouched = models.load(tiny, PromptingMethod(kind="prompting"))
    assert not torch.allclose(logits(untouched), attached, atol=0.01)


def test_eight_bits_are_merged_into_what_they_stand_for(tiny: models.Base, tmp_path: Path) -> None:
    # the answers are not those of LLM.int8(), which rounds what goes into a layer too
    import torch

    method = peft(LORA, "int8")
    folder = trained(tiny, method, tmp_path / "adapter")
    attached = models.load(tiny, method, trained=folder).base_model.model
    saved = load_saved(merging.merge(tiny, method, folder), tmp_path / "merged")
    for ours, theirs in zip(saved.model.layers, attached.model.layers, strict=True):
        adapted = theirs.self_attn.q_proj
        eight = adapted.base_layer.weight
        assert eight.dtype == torch.int8
        with torch.inference_mode():
            added = adapted.get_delta_weight("default")
            expected = eight * eight.SCB[:, None] / 127 + added
            assert torch.allclose(ours.self_attn.q_proj.weight, expected, atol=1e-5)
        assert added.abs().max() > 0.01


def test_dtype_is_that_of_the_model(tiny: models.Base, tmp_path: Path) -> None:
    import torch

    base = models.Base(tiny.folder, tiny.revision, Model(path=str(tiny.folder), dtype="bfloat16"))
    method = peft(LORA, "nf4")
    merged = merging.merge(base, method, trained(base, method, tmp_path / "adapter"))
    saved = load_saved(merged, tmp_path / "merged")
    assert {weight.dtype for weight in saved.parameters()} == {torch.bfloat16}


def test_whole_models_are_themselves(tiny: models.Base, model: Any, tmp_path: Path) -> None:
    import torch

    assert torch.equal(
        logits(merging.merge(tiny, PromptingMethod(kind="prompting"), None)), logits(model)
    )
    whole = models.load(tiny, FullMethod(kind="full"))
    with torch.no_grad():
        whole.lm_head.weight.mul_(2)
    whole.save_pretrained(tmp_path)
    merged = merging.merge(tiny, FullMethod(kind="full"), tmp_path)
    assert torch.equal(logits(merged), logits(whole))
    assert not torch.equal(logits(merged), logits(model))


def test_quantized_model_without_adapter_is_dequantized(tiny: models.Base, tmp_path: Path) -> None:
    import torch

    method = peft(LORA, "nf4")
    merged = merging.merge(tiny, method, None)
    saved = load_saved(merged, tmp_path / "merged")
    assert torch.allclose(logits(saved), logits(models.load(tiny, method)), atol=1e-4)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (
            {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3},
            f"PROMPT_TUNING {VIRTUAL}",
        ),
        (
            {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3},
            f"PREFIX_TUNING {VIRTUAL}",
        ),
        (
            {"peft_type": "ADAPTION_PROMPT", "adapter_len": 3, "adapter_layers": 1},
            f"ADAPTION_PROMPT {VIRTUAL}",
        ),
        (LORA | {"alora_invocation_tokens": [9]}, "aLoRA does not support merging."),
        (
            {"peft_type": "BEFT", "target_modules": QV},
            "Base layer has no bias, cannot merge bias adapter default",
        ),
    ],
    ids=["prompt_tuning", "prefix_tuning", "adaption_prompt", "alora", "beft"],
)
def test_what_has_no_merged_form_is_none(
    adapter: dict[str, Any],
    said: str,
    tiny: models.Base,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    method = peft(adapter)
    folder = trained(tiny, method, tmp_path / "adapter")
    capsys.readouterr()
    assert merging.merge(tiny, method, folder) is None
    lines = [line for line in capsys.readouterr().err.splitlines() if "not merged" in line]
    assert lines == [f"not merged: {said}"]


def test_memory_that_ends_is_no_refusal(
    tiny: models.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import LoraModel
    from torch import OutOfMemoryError

    def ends(*_: Any) -> None:
        raise OutOfMemoryError

    method = peft(LORA)
    folder = trained(tiny, method, tmp_path / "adapter")
    monkeypatch.setattr(LoraModel, "merge_and_unload", ends)
    with pytest.raises(OutOfMemoryError):
        merging.merge(tiny, method, folder)


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["lm_head", "embed_tokens"]])
def test_embeddings_that_share_a_weight_are_parted(
    targets: list[str], tiny: models.Base, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny.folder)
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight
    folder = tmp_path / "tied"
    model.save_pretrained(folder)
    write_tokenizer(folder)
    base = models.Base(folder, "0" * 40, Model(path=str(folder)))
    method = peft(LORA | {"target_modules": targets})
    adapter = trained(base, method, tmp_path / "adapter")
    attached = logits(models.load(base, method, trained=adapter))
    merged = merging.merge(base, method, adapter)
    saved = load_saved(merged, tmp_path / "merged")
    for found in (merged, saved):
        assert torch.allclose(logits(found), attached, atol=1e-4)
