"""Label scores equal a plain reference: one label, one forward pass, one sum."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunebench import models
from tunebench.answering import scoring
from tunebench.answering.prefix_cache import PrefixCache
from tunebench.answering.scoring import passes
from tunebench.answering.scoring.tree import ROOT, LabelTree
from tunebench.config.schema import Model, PromptingMethod
from tunebench.errors import EvaluationError
from tunebench.prompts import Prompt, tokenization

PROJECT = Path(__file__).parents[1]
LABELS = [
    "positive",
    "negative",
    "very positive",
    "very negative and more",
    "p",
    "pos",
    "</s>",
]


def reference(model: Any, tokenizer: Any, prompt: Prompt, label: str) -> float:
    import torch

    context, answer = tokenization.encode_pair(
        tokenizer, prompt.marked_prompt, prompt.completed_with(label)
    )
    with torch.inference_mode():
        ids = torch.tensor([context + answer])
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    logits = logits[-ids.shape[1] :]  # without the positions that prompt tuning puts in front
    logprobs = logits.float().log_softmax(-1)
    return sum(
        float(logprobs[len(context) + place - 1, token]) for place, token in enumerate(answer)
    )


def test_scores_equal_the_reference(
    answering: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(5)
    expected = [
        [reference(answering, tokenizer, prompt, label) for label in LABELS] for prompt in prompts
    ]
    assert len({round(value, 3) for row in expected for value in row}) == 5 * len(LABELS)
    for batch_tokens in (1, 100, 10_000):
        scores = scoring.score(answering, tokenizer, prompts, LABELS, batch_tokens=batch_tokens)
        for row, right in zip(scores, expected, strict=True):
            assert row == pytest.approx(right, abs=1e-4)


def test_labels_of_one_token_share_a_pass(model: Any, tokenizer: Any) -> None:
    prompt = Prompt(id="x", prompt="Text: a film\nAnswer:", completion="")
    letters = [" a", " b", " c"]
    asked = scoring.questions(tokenizer, [prompt], letters)
    run = scoring.fastest_pass(model, 3, asked)
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    handle = model.register_forward_hook(count)
    try:
        scores = run(asked)
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
        scoring.score(each, tokenizer, prompts, LABELS[:2], batch_tokens=512)
        for each in (model, answering)
    )
    assert (plain == other) is (answering is model)


# the window and the biases by distance forbid a mask of one's own, a state has no keys and values
FASTEST = {
    "mistral": "with_cache",
    "gpt_neox": "as_tree",
    "bloom": "with_cache",
    "gpt2": "as_tree",
    "mamba": "one_by_one",
}


def test_every_architecture_is_scored_rightly(
    architecture: tuple[str, Any], tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    name, random = architecture
    prompts = make_prompts(5)
    asked = scoring.questions(tokenizer, prompts, LABELS)
    assert scoring.fastest_pass(random, 3, asked).name == FASTEST[name]
    expected = [
        [reference(random, tokenizer, prompt, label) for label in LABELS] for prompt in prompts
    ]
    for row, right in zip(
        scoring.score(random, tokenizer, prompts, LABELS, batch_tokens=150), expected, strict=True
    ):
        assert row == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("way", ["as_tree", "with_cache", "one_by_one"])
def test_ways_agree(
    way: str, answering: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    import torch

    prompts = make_prompts(4)
    asked = scoring.questions(tokenizer, prompts, LABELS)
    with torch.inference_mode():
        subject: Any = answering
        if way != "one_by_one":
            subject = PrefixCache.of(answering, [one.context for one in asked], share=False)
        found = getattr(passes, way)(subject, tokenizer.pad_token_id, asked).tolist()
    for prompt, row in zip(prompts, found, strict=True):
        right = [reference(answering, tokenizer, prompt, label) for label in LABELS]
        assert row == pytest.approx(right, abs=1e-4)


def test_shared_beginning_is_run_once(answering: Any, tokenizer: Any) -> None:
    import torch

    beginning = "Judge the review. " * 6
    prompts = [
        Prompt(id=str(index), prompt=f"{beginning}Text: a {word} film\nAnswer: ", completion="")
        for index, word in enumerate(("dull", "warm and funny", "tired", "weak"))
    ]
    asked = scoring.questions(tokenizer, prompts, LABELS)
    with torch.inference_mode():
        shared = PrefixCache.of(answering, [one.context for one in asked], share=True)
    assert shared.tokens > 25
    assert shared.tokens < min(len(question.context) for question in asked)
    scores = scoring.score(answering, tokenizer, prompts, LABELS, batch_tokens=200)
    for prompt, row in zip(prompts, scores, strict=True):
        right = [reference(answering, tokenizer, prompt, label) for label in LABELS]
        assert row == pytest.approx(right, abs=1e-4)


def test_equal_prompts_share_all_but_a_token(model: Any, tokenizer: Any) -> None:
    prompts = [Prompt(id=str(index), prompt="the film was " * 8, completion="") for index in (0, 1)]
    scores = scoring.score(model, tokenizer, prompts, LABELS, batch_tokens=200)
    assert scores[0] == scores[1]
    right = [reference(model, tokenizer, prompts[0], label) for label in LABELS]
    assert scores[0] == pytest.approx(right, abs=1e-4)


def test_a_tree_holds_each_beginning_once() -> None:
    tree = LabelTree.of([[1, 2, 3], [1, 2, 4], [1], [5], [1, 2]])
    assert tree.tokens == (1, 2)
    assert tree.parents == (ROOT, 0)
    assert tree.depths == (0, 1)
    assert tree.paths[1] == ((ROOT, 1), (0, 2), (1, 4))
    assert tree.paths[4] == ((ROOT, 1), (0, 2))
    assert tree.branches == [(0, 0), (1, 1), (1, 0)]
    assert len(LabelTree.of([[1], [2], [3]])) == 0


def test_broken_weights_are_told(
    tiny: models.Base, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    import torch

    broken = models.load(tiny, PromptingMethod(kind="prompting"))
    with torch.no_grad():
        broken.get_input_embeddings().weight[tokenizer("dull")["input_ids"][-1]] = float("nan")
    with pytest.raises(
        EvaluationError, match=r"row train-1: .* not finite; its weights are broken"
    ):
        scoring.score(broken, tokenizer, make_prompts(4), LABELS, batch_tokens=256)


def test_scores_are_those_of_the_harness() -> None:
    """As `benchmarks/label_parity.py --write` kept them, of lm_eval 0.4.13.

    A prompt's last line ends, the harness scores with each label, which adds the same to all.
    """
    kept = json.loads((PROJECT / "tests" / "label_scores.json").read_text())
    base = models.Base(PROJECT / "assets" / "tiny", "", Model(path="assets/tiny"))
    model = models.load(base, PromptingMethod(kind="prompting"))
    prompts = [Prompt(id=text, prompt=text, completion="") for text in kept["prompts"]]
    scores = scoring.score(
        model,
        models.load_tokenizer(base),
        prompts,
        kept["labels"],
        batch_tokens=256,
        label_end="never",
    )
    assert len(scores) == 5
    assert sum(prompt.prompt.endswith("\n") for prompt in prompts) == 1
    for prompt, row, theirs in zip(prompts, scores, kept["scores"], strict=True):
        line_ends = theirs[0] - row[0] if prompt.prompt.endswith("\n") else 0.0
        assert row == pytest.approx([score - line_ends for score in theirs], abs=1e-3)
        assert row.index(max(row)) == theirs.index(max(theirs))
