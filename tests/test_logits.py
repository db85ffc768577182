"""Without prompt tokens' logits, gradients are those of the plain path."""

import random
from typing import Any

import pytest
from jobs import assert_same_gradients, gradients

from tunebench import models
from tunebench.config.schema import PeftMethod
from tunebench.prompts import batching
from tunebench.training import logits, packing

PAD = 3
LENGTHS = [9, 20, 14, 5]


def batch_of(lengths: list[int], *, loss_on: str = "completion") -> dict[str, Any]:
    dice = random.Random(0)
    rows = []
    for length in lengths:
        ids = dice.choices(range(6, 300), k=length)
        masked = length - 3 if loss_on == "completion" else 0
        rows.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
    batch = batching.Collator(PAD)(rows)
    del batch["row_lengths"]
    return batch


def loss_of(ours: logits.LabelledLogits, batch: dict[str, Any], items: Any = None) -> Any:
    inputs = logits.without_mask(batch)
    labels = inputs.pop("labels")
    with ours.at(labels):
        return ours.loss(ours.model(**inputs), labels, items)


def check(model: Any, batch: dict[str, Any]) -> logits.LabelledLogits:
    """Probed, the loss and its gradients are the plain path's; returns what was found."""
    right = gradients(model, model(**batch).loss)
    expected = float(model(**batch).loss.detach())
    ours = logits.labelled(model, batch)
    assert ours is not None
    assert float(loss_of(ours, batch).detach()) == pytest.approx(expected, rel=1e-5)
    assert_same_gradients(gradients(model, loss_of(ours, batch)), right)
    return ours


@pytest.mark.parametrize("loss_on", ["completion", "all"])
def test_gradients_of_a_whole_model(architecture: tuple[str, Any], loss_on: str) -> None:
    _, model = architecture
    assert check(model, batch_of(LENGTHS, loss_on=loss_on)).head_gives_logits


@pytest.mark.parametrize("loss_on", ["completion", "all"])
def test_gradients_of_an_adapter(answering: Any, loss_on: str) -> None:
    assert check(answering, batch_of(LENGTHS, loss_on=loss_on)).head_gives_logits


def test_gradients_of_an_adapter_on_the_head(tiny: models.Base) -> None:
    import torch

    adapter = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "lm_head"]}
    method = PeftMethod(kind="peft", adapter=adapter)
    torch.manual_seed(0)
    model = models.with_adapter(models.load(tiny, method), method, {}).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    assert check(model, batch_of(LENGTHS)).head_gives_logits


# what happens to logits behind the head
FINISHED: dict[str, dict[str, Any]] = {
    "gemma2": {"final_logit_softcapping": 5.0, "head_dim": 16, "num_key_value_heads": 2},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 3.0},
}


@pytest.mark.parametrize("name", FINISHED)
def test_what_an_architecture_does_to_its_logits_stays(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model(
        name, vocab_size=300, pad_token_id=3, intermediate_size=64, **shape | FINISHED[name]
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    assert not check(model, batch_of(LENGTHS)).head_gives_logits


def test_loss_is_taken_a_part_at_a_time(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of([30, 40], loss_on="all")
    labels = int((batch["labels"] != batching.IGNORED).sum())
    assert labels == 68
    monkeypatch.setattr(logits, "MAX_LOGITS", model.config.vocab_size * 10)
    ours = check(model, batch)
    sizes = []
    part = ours._part
    monkeypatch.setattr(ours, "_part", lambda *given: sizes.append(len(given[1])) or part(*given))
    loss_of(ours, batch).backward()
    model.zero_grad()
    # each part twice: forward, and anew in the backward pass
    assert sorted(sizes) == 2 * [8] + 12 * [10]


def test_head_sees_labelled_positions_only(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(LENGTHS)
    ours = logits.labelled(model, batch)
    assert ours is not None
    seen = []
    forward = model.lm_head.forward
    monkeypatch.setattr(
        model.lm_head, "forward", lambda hidden: seen.append(hidden.shape) or forward(hidden)
    )
    loss_of(ours, batch)
    assert [shape.numel() // 64 for shape in seen] == [3 * len(LENGTHS), 0]
    assert model(batch["input_ids"]).logits.shape[:2] == (4, 20)  # as ever, when it is not asked


def test_batch_without_a_label_adds_nothing_to_an_accumulated_step(model: Any) -> None:
    ours = logits.labelled(model, batch_of(LENGTHS))
    assert ours is not None
    empty = batch_of([6, 4])
    empty["labels"][:] = batching.IGNORED
    loss = loss_of(ours, empty, 12)
    assert float(loss.detach()) == 0
    loss.backward()
    model.zero_grad()


def test_mean_is_over_the_whole_optimizer_step(model: Any) -> None:
    ours = logits.labelled(model, batch_of(LENGTHS))
    assert ours is not None
    batch = batch_of(LENGTHS)
    mean = float(loss_of(ours, batch).detach())
    assert float(loss_of(ours, batch, 48).detach()) == pytest.approx(mean * 12 / 48)


@pytest.mark.parametrize("fault", ["refuses", "mixes", "headless"])
def test_other_models_keep_the_plain_path(
    fault: str, tiny: models.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.load(tiny, PeftMethod(kind="peft", adapter={"peft_type": "LORA"})).train()
    head = model.lm_head.forward

    def refuse(hidden: Any) -> Any:
        if hidden.shape[1] != 20:
            raise ValueError("wants whole sequences")
        return head(hidden)

    if fault == "refuses":
        monkeypatch.setattr(model.lm_head, "forward", refuse)
    elif fault == "mixes":  # what stands behind a token changes its logits
        monkeypatch.setattr(
            model.lm_head, "forward", lambda hidden: head(hidden) + head(hidden).mean(1, True)
        )
    else:
        monkeypatch.setattr(model, "get_output_embeddings", lambda: None)
    batch = batch_of(LENGTHS)
    assert logits.labelled(model, batch) is None
    assert model.training
    assert float(model(**batch).loss.detach()) > 0


def test_end_of_memory_is_not_taken_for_a_refusal(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def end(_hidden: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model.lm_head, "forward", end)
    with pytest.raises(torch.OutOfMemoryError):
        logits.labelled(model, batch_of(LENGTHS))
    rows = [{"input_ids": [7, 8, 9], "labels": [7, 8, 9]}] * 2
    with pytest.raises(torch.OutOfMemoryError):
        packing.keeps_rows_apart(model, rows, PAD)
