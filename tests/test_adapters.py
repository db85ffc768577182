"""Every PEFT method trains and is restored, or what it lacks is told in one line."""

from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob, MakePrompts
from peft_kinds import KEYS, TARGETS

from tunebench import models, training
from tunebench.answering import generation, scoring
from tunebench.config import library
from tunebench.config.options import UNTRAINABLE_PEFT_TYPES
from tunebench.config.schema import Model, PeftMethod
from tunebench.errors import PromptError, SourceError, TrainingError
from tunebench.models import adapters
from tunebench.prompts import Prompt
from tunebench.training import Job

LABELS = ["positive", "negative"]
LORA = {"peft_type": "LORA", "r": 4, **TARGETS}
LINEAR = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head"


@pytest.fixture
def make_job(make_job: MakeJob, make_prompts: MakePrompts) -> MakeJob:
    def make(adapter: dict[str, Any], **fields: Any) -> Job:
        given: dict[str, Any] = {
            # past the check of params.yaml, which would not let all of these through
            "method": PeftMethod.model_construct(kind="peft", adapter=adapter, quantization=None),
            "settings": {"max_steps": 2, "learning_rate": 0.05, "save_strategy": "no"},
            "prompts": make_prompts(8),
        }
        return make_job("odd", **given | fields)

    return make


def test_every_method_of_peft_is_known_here() -> None:
    assert len(library.peft_types()) >= 40
    assert set(KEYS) <= library.peft_types()
    assert set(UNTRAINABLE_PEFT_TYPES) <= library.peft_types()


@pytest.mark.parametrize("peft_type", sorted(library.peft_types() - set(UNTRAINABLE_PEFT_TYPES)))
def test_method_is_trained_saved_and_restored(
    peft_type: str,
    make_job: MakeJob,
    make_prompts: MakePrompts,
    tokenizer: Any,
    model: Any,
    adapted: list[Any],
) -> None:
    job = make_job({"peft_type": peft_type, **KEYS.get(peft_type, TARGETS)})
    PeftMethod(kind="peft", adapter=job.method.adapter)  # the check of params.yaml takes it
    metrics = training.train(job).metrics
    count = sum(weight.numel() for weight in adapted[0].parameters() if weight.requires_grad)
    assert metrics["trainable_parameters"] == count > 0
    assert metrics["loss"] > 0

    asked = make_prompts(4, start=20)
    restored = models.load(job.base, job.method, trained=job.output)
    before, after, plain = (
        scoring.score(each, tokenizer, asked, LABELS, batch_tokens=256)
        for each in (adapted[0].eval(), restored, model)
    )
    assert after == before != plain
    options = {"do_sample": False, "max_new_tokens": 4}
    written = generation.generate(restored, tokenizer, asked, options, batch_tokens=256)
    assert [text.tokens > 0 for text in written] == [True] * 4


@pytest.mark.parametrize("peft_type", sorted(UNTRAINABLE_PEFT_TYPES))
def test_method_that_can_not_be_trained_still_can_not(peft_type: str, make_job: MakeJob) -> None:
    with pytest.raises((TrainingError, ValueError), match=r"task_ids|use_cache"):
        training.train(make_job({"peft_type": peft_type, **KEYS.get(peft_type, TARGETS)}))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (
            {"target_modules": ["q_proj", "v_prj"]},
            f"target_modules: the model has no module 'v_prj'; did you mean 'v_proj'? It has"
            f" {LINEAR}",
        ),
        (
            {"target_modules": ["zzz"]},
            "target_modules: the model has no module 'zzz'; choose from: down_proj, gate_proj,"
            " k_proj, lm_head, o_proj, q_proj, up_proj, v_proj",
        ),
        (
            {"target_modules": "q_proj"},
            "target_modules: 'q_proj' matches no module's whole name; to name modules by their"
            f" ends, list them, as [q_proj, k_proj]. It has {LINEAR}",
        ),
        (
            {"target_modules": "(q_proj"},
            "target_modules: '(q_proj' is no regular expression: missing ), unterminated subpattern"
            " at position 0",
        ),
        (
            {"modules_to_save": ["lm_hed"]},
            "modules_to_save: the model has no module 'lm_hed'; did you mean 'lm_head'? It has"
            f" {LINEAR}",
        ),
        (
            {"r": 65},
            "rank 65 is above that of model.layers.0.self_attn.q_proj, which is 64 × 64; lower r to"
            " 64 or less, or take the module out of target_modules",
        ),
        (
            {"r": 65, "target_modules": ["down_proj"]},
            "rank 65 is above that of model.layers.0.mlp.down_proj, which is 64 × 128; lower r to"
            " 64 or less, or take the module out of target_modules",
        ),
        (
            {"rank_pattern": {"v_proj": 70}},
            "rank 70 is above that of model.layers.0.self_attn.v_proj, which is 64 × 64; lower r to"
            " 64 or less, or take the module out of target_modules",
        ),
        (
            {"rank_pattern": {"v_prj": 2}},
            "rank_pattern: 'v_prj' matches no module's name; did you mean 'v_proj'? It has"
            f" {LINEAR}",
        ),
        (
            {"alpha_pattern": {"(v_proj": 2}},
            "alpha_pattern: '(v_proj' is no regular expression: missing ), unterminated subpattern"
            " at position 7",
        ),
        ({"r": 0}, "`r` should be a positive integer value but the value passed is 0"),
        ({"bias": "x"}, "Requested bias: x, is not implemented."),
        (
            {"inference_mode": True},
            "LORA as configured here leaves no weight to train: all are frozen or empty; give it"
            " modules and a size above 0, and no inference_mode",
        ),
    ],
)
def test_adapter_that_does_not_fit(changed: dict[str, Any], fault: str, make_job: MakeJob) -> None:
    job = make_job(LORA | changed)
    with pytest.raises(TrainingError) as caught:
        training.train(job)
    assert str(caught.value) == f"tiny/reviews/odd: adapter: {fault}"
    assert not job.output.exists()


@pytest.mark.parametrize(
    ("adapter", "fault"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "num_virtual_tokens: is missing; PROMPT_TUNING needs a"),
        (
            {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 0},
            "PROMPT_TUNING as configured here leaves no weight to train",
        ),
        ({"peft_type": "ADAPTION_PROMPT"}, "adapter_len: is missing; ADAPTION_PROMPT needs a"),
        (
            {"peft_type": "TRAINABLE_TOKENS", "token_indices": [9999]},
            "index 9999 is out of bounds for dimension 0 with size 340",
        ),
    ],
)
def test_configuration_that_trains_nothing(
    adapter: dict[str, Any], fault: str, make_job: MakeJob
) -> None:
    with pytest.raises(TrainingError) as caught:
        training.train(make_job(adapter))
    assert str(caught.value).startswith(f"tiny/reviews/odd: adapter: {fault}")


def test_rank_as_high_as_the_matrix_is_taken(model: Any, tiny: models.Base) -> None:
    fresh = models.load(tiny, PeftMethod(kind="peft", adapter=LORA))
    adapted = adapters.attach(fresh, LORA | {"r": 64})
    assert adapted.get_nb_trainable_parameters()[0] == 2 * 2 * 64 * 128


def write_model(folder: Path, **shape: Any) -> models.Base:
    """A random model of another shape, without a tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    given = {
        "model_type": "llama",
        "vocab_size": 340,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    } | shape
    config = AutoConfig.for_model(**given)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return models.Base(folder, "1" * 40, Model(path=str(folder)))


MISFITS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (LORA, {"hidden_size": 32}, "layers.0.self_attn.q_proj.lora_A.weight is 4 × 64 there, and 4"),
    (
        LORA,
        {"num_key_value_heads": 1},
        "layers.0.self_attn.v_proj.lora_B.weight is 64 × 4 there, and 32 × 4 here",
    ),
    (LORA, {"num_hidden_layers": 3}, "layers.2.self_attn.q_proj.lora_A.weight is not in the file"),
    (LORA, {"num_hidden_layers": 1}, "layers.1.self_attn.q_proj.lora_A.weight has no place in"),
    (
        LORA | {"target_modules": "all-linear"},
        {"num_hidden_layers": 3},
        "layers.2.mlp.down_proj.lora_A.weight is not in the file",
    ),
    (LORA, {"model_type": "gpt_neox"}, "not found in the base model"),
    (
        LORA | {"modules_to_save": ["norm"]},
        {"num_hidden_layers": 3},
        "layers.2.input_layernorm.weight is not in the file",
    ),
    (
        {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5},
        {"hidden_size": 32},
        "shape torch.Size([5, 64]) from checkpoint, the shape in current model is torch.Size([5,",
    ),
    (
        {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5},
        {"num_hidden_layers": 1},
        "shape torch.Size([5, 256]) from checkpoint, the shape in current model is torch.Size([5,",
    ),
]


@pytest.mark.parametrize(("adapter", "shape", "reason"), MISFITS)
def test_adapter_of_another_model_is_refused(
    adapter: dict[str, Any], shape: dict[str, Any], reason: str, tiny: models.Base, tmp_path: Path
) -> None:
    method = PeftMethod(kind="peft", adapter=adapter)
    folder, other = tmp_path / "adapter", write_model(tmp_path / "other", **shape)
    trained = models.with_adapter(models.load(tiny, method), method, {})
    trained.save_pretrained(folder, save_embedding_layers=False)
    assert models.load(tiny, method, trained=folder).peft_config
    with pytest.raises(SourceError) as caught:
        models.load(other, method, trained=folder)
    told = str(caught.value)
    assert told.startswith(
        f"{folder}: the adapter there was trained on another model than {other.folder}: "
    )
    assert reason in told
    assert told.endswith(
        "; run its training again (dvc repro), or name the model that it was trained on"
    )
    assert len(told.splitlines()) == 1


def test_rows_that_teach_nothing_are_refused(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = [Prompt(f"train-{index}", "Text: dull", "", split="train") for index in range(3)]
    with pytest.raises(PromptError, match="adds no token to its prompt"):
        training.train(make_job(LORA, prompts=empty))
    with pytest.raises(TrainingError, match=r"no token of the 0 training rows counts in the loss"):
        training.train(make_job(LORA, prompts=[]))
    # the first token of a row is never predicted
    unlabelled = [{"input_ids": [1, 5, 6], "labels": [1, -100, -100]}] * 3
    monkeypatch.setattr("tunebench.prompts.batching.examples", lambda *_, **__: unlabelled)
    with pytest.raises(TrainingError) as caught:
        training.train(make_job(LORA))
    assert str(caught.value) == (
        "tiny/reviews/odd: no token of the 3 training rows counts in the loss; give them"
        " completions, or set loss_on: all"
    )
