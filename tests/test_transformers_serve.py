"""The embedded default server: what it writes under load is what an evaluation writes."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench import models
from tunebench.answering import generation, merging
from tunebench.config.inference import Serving
from tunebench.config.schema import Evaluation, PeftMethod, PromptingMethod
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt, encoding
from tunebench.serving import load_test

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SERVERS: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")["inference"]["servers"]
NEW_TOKENS = 12


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
        Serving(
            servers=SERVERS,
            objective={"latency_p50_s": 5.0},
            min_requests=20,
            hold_s=0.1,
            longest_hold_s=2.0,
            max_rates=1,
        ),
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
