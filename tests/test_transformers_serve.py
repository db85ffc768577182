"""The embedded default server: what it writes under load is what an evaluation writes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from tunebench import models
from tunebench.answering import generation, merging, scoring
from tunebench.config.inference import Server, Serving
from tunebench.config.schema import Evaluation, PeftMethod, PromptingMethod
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt, encoding
from tunebench.serving import load_test
from tunebench.serving.asking import Chosen, asking

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SERVERS: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")["inference"]["servers"]
NEW_TOKENS = 12


def serving(servers: dict[str, Any]) -> Serving:
    """One load that asks every prompt, which is not meant to decide a rate."""
    return Serving(
        servers=servers,
        objective={"latency_p50_s": 5.0},
        min_requests=20,
        hold_s=0.1,
        longest_hold_s=2.0,
        max_rates=1,
    )


@pytest.mark.parametrize("kind", ["base", "merged"])
def test_served_text_is_the_evaluated_text(kind: str, tiny: models.Base, tmp_path: Path) -> None:
    method: models.Method = PromptingMethod(kind="prompting")
    trained = None
    if kind == "merged":
        adapter = {"peft_type": "LORA", "r": 4, "target_modules": "all-linear",
                   "init_lora_weights": False}  # fmt: skip
        method, trained = (
            PeftMethod(kind="peft", quantization="nf4", adapter=adapter),
            tmp_path / "a",
        )
        models.with_adapter(models.load(tiny, method), method, {}).save_pretrained(trained)
    # as a chat template writes them: with the beginning of the sequence, which none may add again
    begin = "<s>" if kind == "base" else ""
    prompts = [
        Prompt(
            str(number),
            f"{begin}Text: the film was {number} times as {word}. Answer:",
            " x",
            begin=not begin,
        )
        for number, word in enumerate(["warm", "dull", "funny", "tired"] * 5)
    ]
    options = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
    # test_merging.py holds the merged model to the attached one, up to rounding
    model, tokenizer = merging.merge(tiny, method, trained), models.load_tokenizer(tiny)
    assert model is not None
    written = generation.generate(model, tokenizer, prompts, options, batch_tokens=4096)
    outcome = load_test(
        tiny,
        method,
        Answering([], Evaluation(), options),
        serving(SERVERS),
        prompts,
        trained=trained,
        evaluated={prompt.id: text.text for prompt, text in zip(prompts, written, strict=True)},
        folder=tmp_path / "test",
    )
    told = outcome.metrics
    assert (told["artifact"], told["rows"], told["errors"]) == (kind, 20, 0)
    # batches that come together by chance sum in another order, and of random weights' 240 choices
    # a few are ties but for rounding: seen once in ten runs, in one text
    assert told["answers_that_differ"] <= 2 / len(prompts)
    ids = encoding.contexts(tokenizer, prompts)
    assert [row["tokens_in"] for row in outcome.predictions] == list(map(len, ids))
    assert {row.count(tokenizer.bos_token_id) for row in ids} == {1}
    assert (told["prompts_sent_as"], told["prompts_not_sent"]) == ("text", 0)
    assert 1 <= told["tokens_out_mean"] <= NEW_TOKENS


@pytest.mark.parametrize(
    ("labels", "answered_by"),
    [
        (["0", "4", "7", "9"], "one token"),
        (["positive", "very positive", "very negative"], "constrained tokens"),
    ],
)
@pytest.mark.parametrize("batching", ["continuous", "none"])
def test_served_labels_are_those_of_the_allowed_tokens(
    labels: list[str], answered_by: str, batching: str, tiny: models.Base, tmp_path: Path
) -> None:
    prompts = [
        Prompt(
            str(number), f"Text: the film {number}.{number} {word}\nAnswer:", " x", label=labels[0]
        )
        for number, word in enumerate(["warm", "dull", "funny", "tired"] * 5)
    ]
    method = PromptingMethod(kind="prompting")
    server = Server(**SERVERS["transformers"])
    assert server.command
    if batching == "none":
        command = server.command.partition("--continuous-batching")[0]
        server = server.model_copy(update={"command": command})
    # what the server must not do where labels are scored
    how = Answering(labels, Evaluation(), {"do_sample": True, "temperature": 5.0})
    model, tokenizer = models.load(tiny, method), models.load_tokenizer(tiny)
    chosen = best_allowed(model, tokenizer, prompts, how, server)
    if answered_by == "one token":  # each label has one
        scores = scoring.score(model, tokenizer, prompts, labels, batch_tokens=4096)
        assert list(chosen.values()) == [labels[row.index(max(row))] for row in scores]
    outcome = load_test(
        tiny,
        method,
        how,
        serving({"transformers": server.model_dump(exclude_none=True)}),
        prompts,
        trained=None,
        evaluated=chosen,
        folder=tmp_path,
    )
    told = outcome.metrics
    assert (told["answered_by"], told["rows"], told["errors"]) == (answered_by, 20, 0)
    assert told["answers_that_differ"] <= 1 / len(prompts)  # as above, ties but for rounding
    assert len({row["answer"] for row in outcome.predictions}) > 1


def best_allowed(
    model: Any, tokenizer: Any, prompts: list[Prompt], how: Answering, server: Server
) -> dict[str, Any]:
    """The label that the best allowed token at each step amounts to, by prompt id."""
    asked = asking(tokenizer, prompts, how, server)
    assert isinstance(asked, Chosen)
    answers = {}
    for prompt, context in zip(prompts, encoding.contexts(tokenizer, prompts), strict=True):
        ids = [*context, *asked.appended[prompt.id]]
        start = len(ids)
        for _ in range(asked.max_tokens):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
            ids.append(max(asked.tokens, key=lambda token: float(logits[token])))
            if ids[-1] == tokenizer.eos_token_id:
                break
        text = tokenizer.decode(ids[start:], skip_special_tokens=True)
        answers[prompt.id] = asked.read(prompt, text)["answer"]
    return answers
