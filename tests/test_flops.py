"""FLOPs of training are what torch's own counter counts, architecture by architecture."""

from typing import Any

import pytest
from jobs import LORA, SETTINGS, MakeJob

from tunebench import models, training
from tunebench.config.schema import FullMethod, PeftMethod
from tunebench.prompts.batching import Collator, Example
from tunebench.training import flops, logits, packing

LAYERS = 4
SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "pad_token_id": 3,
}
EXPERTS = {"num_experts_per_tok": 2, "num_key_value_heads": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "qwen3": {"head_dim": 32, "num_key_value_heads": 2},  # 4 heads of 32, hidden size 32
    "gpt_neox": {},
    "gpt2": {},  # tied, with position embeddings
    "mixtral": EXPERTS | {"num_local_experts": 8},
    "qwen3_moe": EXPERTS
    | {"num_experts": 8, "head_dim": 16, "moe_intermediate_size": 48, "decoder_sparse_step": 1},
}
ATTENTION = ["q_proj", "v_proj"]
TARGETS = {"gpt_neox": ["query_key_value"], "gpt2": ["c_attn"]}
LENGTHS = [40, 9]


def make_model(kind: str, method: str, *, input_gradients: bool = True) -> Any:
    """A random model; with `input_gradients` its first layer is as costly as the others.

    With frozen embeddings it needs no gradient of its input, which `of_epoch` counts all the same.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPE | MODELS[kind])
    # the counter knows neither grouped products of experts nor the CPU's attention kernel
    options = {"experts_implementation": "eager"} if "num_experts_per_tok" in MODELS[kind] else {}
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", **options)
    if method == "lora":
        model = get_peft_model(
            model,
            LoraConfig(r=4, target_modules=TARGETS.get(kind, ATTENTION), task_type="CAUSAL_LM"),
        )
    if input_gradients:
        model.enable_input_require_grads()
    return model.train()


def rows() -> list[Example]:
    """Rows of which half of the tokens are labelled."""
    made = []
    for size in LENGTHS:
        ids = [6 + index % 80 for index in range(size)]
        made.append({"input_ids": ids, "labels": [-100] * (size // 2) + ids[size // 2 :]})
    return made


def counted(model: Any, examples: list[Example]) -> float:
    """Of the forward and the backward pass, each row or concatenated sequence by itself."""
    from torch.utils.checkpoint import set_checkpoint_early_stop
    from torch.utils.flop_counter import FlopCounterMode

    batches = [Collator(3)([example]) for example in examples]
    for batch in batches:
        del batch["row_lengths"]
    labelled = logits.labelled(model, batches[0])
    assert labelled is not None
    model.train()
    # the whole layer again, as HFU is defined; torch would omit its last product
    with FlopCounterMode(display=False) as counter, set_checkpoint_early_stop(False):
        for batch in batches:
            inputs = logits.without_mask(batch)
            labels = inputs.pop("labels")
            with labelled.at(labels):
                labelled.loss(model(**inputs, use_cache=False), labels).backward()
    return float(counter.get_total_flops())


def of_epoch(model: Any, examples: list[Example]) -> flops.Flops:
    return flops.of_epoch(flops.Weights.of(model), model.config.get_text_config(), examples)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", MODELS)
def test_model_flops_are_those_of_the_counter(kind: str, method: str) -> None:
    model = make_model(kind, method)
    found = of_epoch(model, rows()).model
    assert found == pytest.approx(counted(model, rows()), rel=1e-9)


def test_first_layer_counts_as_the_others() -> None:
    frozen = make_model("llama", "lora", input_gradients=False)
    right = counted(frozen, rows())
    assert right < of_epoch(frozen, rows()).model < (1 + 0.35 / LAYERS) * right


@pytest.mark.parametrize("method", ["full", "lora"])
def test_packed_rows_attend_only_to_themselves(method: str) -> None:
    model = make_model("llama", method)
    packs = packing.packed(rows(), sum(LENGTHS), seed=0)
    assert len(packs) == 1
    apart = counted(model, rows())
    assert of_epoch(model, packs).model == pytest.approx(apart, rel=1e-9)
    concatenated = packing.concatenated(rows(), sum(LENGTHS))
    found = of_epoch(model, concatenated).model
    assert found == pytest.approx(counted(model, concatenated), rel=1e-9)
    assert found > apart


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_checkpointing_adds_a_forward_pass(kind: str, method: str) -> None:
    model = make_model(kind, method)
    plain = counted(model, rows())
    model.gradient_checkpointing_enable({"use_reentrant": False})
    spent = of_epoch(model, rows())
    assert spent.model == pytest.approx(plain, rel=1e-9)
    right = counted(model, rows())
    assert spent.model + spent.recomputation == pytest.approx(right, rel=1e-9)
    assert right > 1.2 * plain


def test_replaced_head_counts_once() -> None:
    from peft import LoraConfig, get_peft_model

    model = make_model("llama", "full")
    head = flops.Weights.of(model).head
    assert head == SHAPE["vocab_size"] * SHAPE["hidden_size"]
    config = LoraConfig(target_modules=ATTENTION, modules_to_save=["lm_head"])
    weights = flops.Weights.of(get_peft_model(model, config))
    assert weights.head == weights.trainable_head == head


def test_packed_4bit_weights_count_singly(tiny: Any) -> None:
    lora = {"peft_type": "LORA", "r": 4, "target_modules": ATTENTION}
    found = []
    for quantization in (None, "nf4"):
        method = PeftMethod(kind="peft", adapter=lora, quantization=quantization)
        model = models.with_adapter(models.load(tiny, method), method, {})
        found.append(flops.Weights.of(model))
    assert found[0] == found[1]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_run_reports_what_it_recomputes(method: str, make_job: MakeJob) -> None:
    tuning = {"full": FullMethod(kind="full"), "lora": PeftMethod(kind="peft", adapter=LORA)}
    job = make_job(method, method=tuning[method], settings=SETTINGS | {"max_steps": 4})
    plain = training.train(job).metrics
    assert "hardware_flops_utilization" not in plain
    settings = SETTINGS | {"max_steps": 4, "gradient_checkpointing": True}
    found = training.train(make_job("again", method=tuning[method], settings=settings)).metrics
    ratio = found["hardware_flops_utilization"] / found["model_flops_utilization"]
    assert 1.2 < ratio < 1.5  # a forward pass to one and two of a backward pass
