"""Label scores equal a plain reference: one label, one forward pass, one sum."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tunebench import models, scoring, tokenization
from tunebench.config.schema import PeftMethod
from tunebench.prompts import Prompt

LABELS = [
    "positive",
    "negative",
    "very positive",
    "very negative and more",
    "p",
    "pos",
    "</s>",
]
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"},
    "prompt_tuning": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5},
}


def reference(model: Any, tokenizer: Any, prompt: Prompt, label: str) -> float:
    import torch

    context, answer = tokenization.encode_pair(tokenizer, prompt.shown, prompt.answered(label))
    with torch.inference_mode():
        ids = torch.tensor([context + answer])
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    logits = logits[-ids.shape[1] :]  # without the positions that prompt tuning puts in front
    logprobs = logits.float().log_softmax(-1)
    return sum(
        float(logprobs[len(context) + place - 1, token]) for place, token in enumerate(answer)
    )


@pytest.fixture(params=["plain", *ADAPTERS])
def answering(request: pytest.FixtureRequest, tiny: models.Base) -> Iterator[Any]:
    """The model as it is, or with an adapter that changes its answers."""
    import torch

    if request.param == "plain":
        yield request.getfixturevalue("model")
        return
    method = PeftMethod(kind="peft", adapter=ADAPTERS[request.param])
    torch.manual_seed(1)
    changed = models.with_adapter(models.load(tiny, method), method, {}).eval()
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.3)
                assert "lora" in name or "prompt" in name
    yield changed


def test_scores_equal_the_reference(
    answering: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(5)
    expected = [
        [reference(answering, tokenizer, prompt, label) for label in LABELS] for prompt in prompts
    ]
    assert len({round(value, 3) for row in expected for value in row}) == 5 * len(LABELS)
    for batch_size in (1, 3, 64):
        scores = scoring.score(answering, tokenizer, prompts, LABELS, batch_size=batch_size)
        for row, right in zip(scores, expected, strict=True):
            assert row == pytest.approx(right, abs=1e-4)


def test_labels_of_one_token_share_a_pass(model: Any, tokenizer: Any) -> None:
    prompt = Prompt(id="x", prompt="Text: a film\nAnswer:", completion="")
    letters = [" a", " b", " c"]
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    handle = model.register_forward_hook(count)
    try:
        scores = scoring.score(model, tokenizer, [prompt], letters, batch_size=1)
    finally:
        handle.remove()
    assert passes == 1
    expected = [reference(model, tokenizer, prompt, one) for one in letters]
    assert scores[0] == pytest.approx(expected, abs=1e-4)


def test_an_adapter_changes_the_scores(
    answering: Any, model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(2)
    plain, other = (
        scoring.score(each, tokenizer, prompts, LABELS[:2], batch_size=2)
        for each in (model, answering)
    )
    assert (plain == other) is (answering is model)
