"""What each tuning method computes, against its formula."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob, MakePrompts
from ruamel.yaml import YAML

from tunebench import models, training
from tunebench.config.schema import FullMethod, Model, PeftMethod, TuningMethod
from tunebench.models import adapters, modules
from tunebench.prompts import Prompt
from tunebench.training import Job

STUDIES = Path(__file__).parents[1] / "studies"
QV = ["q_proj", "v_proj"]
BLOCK = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": QV}
VIRTUAL = 5
PROMPT_TUNING = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": VIRTUAL}
PREFIX_TUNING = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": VIRTUAL}
LAYERS, WIDTH, INNER, HALF = 2, 64, 128, 32
IDS = [[1, 9, 20, 31, 77, 40, 12]]


def peft(adapter: dict[str, Any], **changed: Any) -> PeftMethod:
    return PeftMethod(kind="peft", adapter=adapter, **changed)


@pytest.fixture
def make_job(make_job: MakeJob, make_prompts: MakePrompts) -> MakeJob:
    def make(method: TuningMethod, prompts: list[Prompt] | None = None, **settings: Any) -> Job:
        given = {"max_steps": 2, "logging_steps": 1, "learning_rate": 0.01, "save_strategy": "no"}
        rows = prompts or make_prompts(8)
        return make_job(method=method, prompts=rows, settings=given | settings)

    return make


def ids_of(rows: list[list[int]]) -> Any:
    import torch

    return torch.tensor(rows)


def logits(model: Any, rows: list[list[int]] = IDS) -> Any:
    import torch

    with torch.inference_mode():
        return model(ids_of(rows)).logits


def fresh(tiny: models.Base, adapter: dict[str, Any]) -> Any:
    """The tiny model with an adapter whose every weight is drawn, so that it does something."""
    import torch

    method = peft(adapter)
    adapted = models.with_adapter(models.load(tiny, method), method, {}).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.1)
    return adapted


def adapted_modules(adapted: Any) -> set[str]:
    """Names in the base model of the modules that LoRA was laid on."""
    return {
        name.removeprefix("base_model.model.").removesuffix(".lora_A.default")
        for name, _ in adapted.named_modules()
        if name.endswith(".lora_A.default")
    }


# NEFTune (arXiv 2310.05914) --------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [peft(LORA), peft(LORA, quantization="nf4"), peft(PROMPT_TUNING), peft(PREFIX_TUNING),
     FullMethod(kind="full")],
    ids=["lora", "qlora", "prompt_tuning", "prefix_tuning", "full"],
)  # fmt: skip
def test_neftune_noise(
    method: TuningMethod,
    make_job: MakeJob,
    make_prompts: MakePrompts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    alpha, seen, plain = 7.0, [], []
    load = models.load

    def watched(*given: Any, **named: Any) -> Any:
        model = load(*given, **named)
        embed = model.get_input_embeddings()

        def look_up(module: Any, args: Any) -> None:
            plain.append(torch.nn.functional.embedding(args[0], module.weight.detach()))

        def enter(module: Any, args: Any) -> None:
            count = plain[-1].shape[1]  # virtual tokens stand in front of them
            seen.append((module.training, args[0].detach()[:, -count:] - plain[-1]))

        embed.register_forward_pre_hook(look_up)
        model.model.layers[0].register_forward_pre_hook(enter)
        return model

    monkeypatch.setattr(models, "load", watched)
    rows = make_prompts(4) + make_prompts(2, split="validation", start=50)
    settings = {
        "max_steps": 4,
        "per_device_train_batch_size": 1,  # all of a batch is one row's own
        "per_device_eval_batch_size": 1,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "neftune_noise_alpha": alpha,
    }
    training.train(make_job(method, rows, **settings))
    noises = [noise for trains, noise in seen if trains]
    assert len(noises) == 4
    squares = []
    for noise in noises:
        limit = alpha / math.sqrt(noise.shape[1] * WIDTH)
        assert noise.shape[1] > 10
        assert 0.98 * limit < noise.abs().max() <= limit * 1.001
        assert abs(noise.mean()) < 0.1 * limit
        squares.append(float(noise.square().mean()) / limit**2)
    assert sum(squares) / 4 == pytest.approx(1 / 3, rel=0.05)  # as of a uniform distribution
    assert not torch.equal(noises[0][:, :5], noises[1][:, :5])
    asked = [noise for trains, noise in seen if not trains]
    assert len(asked) >= 4
    assert not any(noise.any() for noise in asked)


# LoRA (arXiv 2106.09685), with rsLoRA's scale (arXiv 2312.03732) --------------------------------


@pytest.mark.parametrize("targets", [QV, "all-linear"], ids=["qv", "all"])
@pytest.mark.parametrize(
    ("more", "scale"), [({}, 6 / 4), ({"use_rslora": True}, 6 / 2)], ids=["lora", "rslora"]
)
def test_lora_adds_its_scaled_product(
    targets: Any, more: dict[str, Any], scale: float, tiny: models.Base, model: Any
) -> None:
    import torch

    adapted = fresh(tiny, LORA | more | {"target_modules": targets})
    by_hand = models.load(tiny, peft(LORA)).eval()
    weights, drawn = by_hand.state_dict(), adapted.state_dict()
    names = adapted_modules(adapted)
    assert len(names) == LAYERS * (2 if targets == QV else 7)
    with torch.no_grad():
        for name in names:
            down, up = (
                drawn[f"base_model.model.{name}.{part}.default.weight"]
                for part in ("lora_A", "lora_B")
            )
            assert down.shape[0] == up.shape[1] == 4
            weights[f"{name}.weight"] += scale * up @ down
    expected, unmerged = logits(by_hand), logits(adapted)
    assert torch.allclose(unmerged, expected, atol=1e-4)
    assert not torch.allclose(unmerged, logits(model), atol=0.1)
    adapted.merge_adapter()
    assert torch.allclose(logits(adapted), expected, atol=1e-4)
    adapted.unmerge_adapter()
    assert torch.allclose(logits(adapted), expected, atol=1e-4)


def test_fresh_lora_changes_no_answer(tiny: models.Base, model: Any) -> None:
    import torch

    adapted = models.with_adapter(models.load(tiny, peft(LORA)), peft(LORA), {}).eval()
    assert torch.equal(logits(adapted), logits(model))


# QLoRA (arXiv 2305.14314) ----------------------------------------------------------------------


@pytest.mark.parametrize("quantization", ["nf4", "fp4"])
def test_quantized_layer_is_bitsandbytes_own(quantization: str, tiny: models.Base) -> None:
    import bitsandbytes
    import torch

    model = models.load(tiny, peft(LORA, quantization=quantization))
    layers = [each for each in model.modules() if isinstance(each, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == LAYERS * len(BLOCK)
    for layer in layers:
        assert layer.weight.quant_state.quant_type == quantization
        weight = bitsandbytes.functional.dequantize_4bit(
            layer.weight.data, layer.weight.quant_state
        )
        assert weight.shape == (layer.out_features, layer.in_features)
        given = torch.randn(3, layer.in_features)
        with torch.inference_mode():
            assert torch.allclose(layer(given), given @ weight.T, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_are_the_same_after_an_evaluation(dtype: str, tiny: models.Base) -> None:
    import torch

    method = peft(LORA, quantization="nf4")
    base = models.Base(tiny.folder, tiny.revision, Model(path=str(tiny.folder), dtype=dtype))
    adapted = models.with_adapter(models.load(base, method), method, {}).train()

    def gradients() -> list[Any]:
        adapted.zero_grad()
        adapted(input_ids=ids_of(IDS), labels=ids_of(IDS)).loss.backward()
        found = [w.grad.clone() for name, w in adapted.named_parameters() if "lora_B" in name]
        assert all(each.any() for each in found)
        return found

    before = gradients()
    logits(adapted.eval())
    adapted.train()
    for old, new in zip(before, gradients(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantization", [None, "nf4", "int8"])
def test_only_the_adapter_is_trained(
    quantization: str | None,
    dtype: str,
    tiny: models.Base,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    kept: list[tuple[Any, dict[str, Any]]] = []
    wrap = models.with_adapter

    def spy(*given: Any) -> Any:
        adapted = wrap(*given)
        kept.append((adapted, {name: w.detach().clone() for name, w in adapted.named_parameters()}))
        return adapted

    monkeypatch.setattr(models, "with_adapter", spy)
    base = models.Base(tiny.folder, tiny.revision, Model(path=str(tiny.folder), dtype=dtype))
    job = make_job(peft(LORA, quantization=quantization))
    training.train(dataclasses.replace(job, base=base))
    ((adapted, before),) = kept
    changed = {
        name for name, weight in adapted.named_parameters() if not torch.equal(weight, before[name])
    }
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert trained == changed == {name for name in before if ".lora_" in name}
    assert len(trained) == LAYERS * 2 * 2
    for name, weight in adapted.named_parameters():
        assert (weight.grad is None) or name in trained
        if name in trained:
            assert weight.dtype == torch.float32  # PEFT's default, whatever the base is in


# prompt tuning (arXiv 2104.08691) --------------------------------------------------------------


def test_virtual_tokens_stand_in_front(tiny: models.Base, model: Any) -> None:
    import torch

    adapted = fresh(tiny, PROMPT_TUNING)
    virtual = adapted.prompt_encoder.default.embedding.weight
    assert virtual.shape == (VIRTUAL, WIDTH)
    words = model.get_input_embeddings()(ids_of(IDS))
    embedded = torch.cat([virtual[None], words], dim=1)
    with torch.inference_mode():
        expected = model(inputs_embeds=embedded).logits
    found = logits(adapted)
    assert found.shape == expected.shape == (1, VIRTUAL + len(IDS[0]), 340)
    assert torch.allclose(found, expected, atol=1e-5)

    own = slice(VIRTUAL, None)
    assert not torch.allclose(found[:, own], logits(model), atol=0.1)
    with torch.no_grad():
        virtual[0] += 1.0
    moved = (logits(adapted) - found).abs().amax(dim=-1)[0]
    assert (moved[own] > 1e-4).all()  # every token attends to the first of them


def test_virtual_tokens_count_in_no_loss(tiny: models.Base) -> None:
    import torch

    adapted = fresh(tiny, PROMPT_TUNING)
    labels = [-100, -100, -100, -100, *IDS[0][4:]]
    with torch.inference_mode():
        loss = adapted(input_ids=ids_of(IDS), labels=ids_of([labels])).loss
    found = logits(adapted)[0, VIRTUAL:].log_softmax(-1)
    expected = -sum(found[at - 1, IDS[0][at]] for at in (4, 5, 6)) / 3
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_padding_behind_virtual_tokens_changes_nothing(tiny: models.Base) -> None:
    import torch

    adapted = fresh(tiny, PROMPT_TUNING)
    padded, mask = ids_of([[*IDS[0], 3, 3]]), ids_of([[1] * len(IDS[0]) + [0, 0]])
    with torch.inference_mode():
        found = adapted(input_ids=padded, attention_mask=mask).logits
    assert torch.allclose(found[:, :-2], logits(adapted), atol=1e-5)


# which modules, and how many weights -----------------------------------------------------------

LINEAR = {
    "mistral": set(BLOCK),
    "gpt_neox": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    "bloom": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
}


def test_all_linear_is_every_linear_module_but_the_head(architecture: tuple[str, Any]) -> None:
    name, model = architecture
    if name == "mamba":
        with pytest.raises(ValueError, match="'out_proj' is incompatible with Mamba-based models"):
            adapters.attach(model, LORA | {"target_modules": "all-linear"})
        return
    listed = modules.linear_modules(model)
    everything = adapters.attach(model, LORA | {"r": 1, "target_modules": "all-linear"})
    found = adapted_modules(everything)
    assert {each.rpartition(".")[2] for each in found} == LINEAR[name]
    count = everything.get_nb_trainable_parameters()[0]
    named = adapters.attach(
        everything.unload(), LORA | {"r": 1, "target_modules": sorted(LINEAR[name])}
    )
    assert adapted_modules(named) == found
    assert named.get_nb_trainable_parameters()[0] == count
    assert set(listed) == LINEAR[name] | {"lm_head"}


def test_all_linear_of_the_tiny_model(tiny: models.Base) -> None:
    found = adapted_modules(fresh(tiny, LORA | {"target_modules": "all-linear"}))
    assert {each.rpartition(".")[2] for each in found} == set(BLOCK)
    assert len(found) == LAYERS * len(BLOCK)


def test_studies_that_tune_all_modules_name_the_head() -> None:
    studies = [YAML(typ="safe").load(path) for path in sorted(STUDIES.glob("zephyr_*.yaml"))]
    adapted = [
        method["adapter"]["target_modules"]
        for study in studies
        for name, method in study["methods"].items()
        if name.endswith("_all")
    ]
    assert len(adapted) >= 4
    assert all(targets == [*BLOCK, "lm_head"] for targets in adapted)


COUNTS: list[tuple[dict[str, Any], int]] = [
    # r(d_in + d_out) for each module
    (LORA, LAYERS * 2 * 4 * (WIDTH + WIDTH)),
    (
        LORA | {"target_modules": "all-linear"},
        LAYERS * 4 * (4 * (WIDTH + WIDTH) + 3 * (WIDTH + INNER)),
    ),
    (LORA | {"target_modules": ["down_proj", "lm_head"]}, 4 * (2 * (INNER + WIDTH) + WIDTH + 340)),
    (LORA | {"use_dora": True}, LAYERS * 2 * (4 * (WIDTH + WIDTH) + WIDTH)),
    # a vector for keys, one for values, one for what comes into the last matrix
    ({"peft_type": "IA3"}, LAYERS * (WIDTH + WIDTH + INNER)),
    (PROMPT_TUNING, VIRTUAL * WIDTH),
    # keys and values of each layer
    (PREFIX_TUNING, 2 * LAYERS * VIRTUAL * WIDTH),
]


@pytest.mark.parametrize(("adapter", "count"), COUNTS)
def test_trainable_parameters(adapter: dict[str, Any], count: int, make_job: MakeJob) -> None:
    metrics = training.train(make_job(peft(adapter), max_steps=1)).metrics
    assert metrics["trainable_parameters"] == count


def test_prefix_is_as_wide_as_shared_keys_and_values() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
    config = AutoConfig.for_model("llama", vocab_size=340, num_key_value_heads=2, **shape)
    adapted = adapters.attach(AutoModelForCausalLM.from_config(config), PREFIX_TUNING)
    assert adapted.get_nb_trainable_parameters()[0] == 2 * LAYERS * VIRTUAL * HALF


# full fine-tuning ------------------------------------------------------------------------------


def test_full_tuning_learns_eight_rows_by_heart(
    make_job: MakeJob, make_prompts: MakePrompts
) -> None:
    job = make_job(
        FullMethod(kind="full"),
        make_prompts(8),
        max_steps=60,
        learning_rate=3e-3,
        per_device_train_batch_size=8,
        lr_scheduler_type="constant",
    )
    history = training.train(job).history
    assert history[0]["loss"] > 2
    assert history[-1]["loss"] < 0.01
