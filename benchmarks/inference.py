"""Write text prompt by prompt with the timing harness and a bare `model.generate`, in turn:

    python benchmarks/inference.py                                   # assets/tiny, the demo's chats
    python benchmarks/inference.py --model ../shared/models/reviews-3m --adapter

Prints one JSON line: the median seconds of a request on both sides, of ours also by its own
measure, how many times the bare loop's the harness takes (1.1 at most, or it would measure
itself), and how many of the texts are the same. Tokenization counts on both sides.
`generate_timed` is the harness around `model.generate`
itself, in the place of the faster loop: what the harness alone costs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from generation import make_prompts
from measure import machine, timed
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig, logging

from tunebench import models
from tunebench.config.schema import Model, PromptingMethod
from tunebench.prompts import Prompt
from tunebench.timing.clock import garbage_collection_off
from tunebench.timing.requests import TimedModel

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure both sides and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "assets" / "tiny"))
    parser.add_argument("--rows", type=Path, help="a JSON list of mappings with a dialogue")
    parser.add_argument("--count", type=int, default=16, help="how many of the rows")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--adapter", action="store_true", help="with LoRA on all linear layers")
    given = parser.parse_args()
    logging.set_verbosity_error()

    base = models.Base(Path(given.model), "", Model(path=given.model))
    model = models.load(base, PromptingMethod(kind="prompting"))
    prompts = make_prompts(models.load_tokenizer(base), model, given)
    if given.adapter:
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    found = measure(model.eval(), models.load_tokenizer(base), prompts, given)
    about = {"model": Path(given.model).name, "adapter": given.adapter, "prompts": len(prompts)}
    print(json.dumps({"benchmark": "inference", "machine": machine()} | about | found))


def measure(model: Any, tokenizer: Any, prompts: Sequence[Prompt], given: Any) -> dict[str, Any]:
    """Seconds of one request by each side, the sides in turn for each prompt."""
    timed_model = TimedModel.of(model, tokenizer, prompts, labels=[], new_tokens=given.new_tokens)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=given.new_tokens, pad_token_id=tokenizer.pad_token_id
    )

    def generate(ids: list[int]) -> list[int]:
        tensor = torch.tensor([ids], device=model.device)
        with torch.inference_mode():
            written = model.generate(
                input_ids=tensor,
                attention_mask=torch.ones_like(tensor),
                generation_config=config,
            )
        return [int(token) for token in written[0, len(ids) :]]

    def bare(prompt: Prompt) -> str:
        ids = tokenizer(prompt.prompt, add_special_tokens=prompt.begin)["input_ids"]
        return str(tokenizer.decode(generate(ids), skip_special_tokens=True))

    assert timed_model.writing
    around = replace(
        timed_model.writing, write=lambda batch: [generate(list(ids)) for ids in batch]
    )
    sides: dict[str, Callable[[Prompt], Any]] = {
        "bare_generate": bare,
        "harness": timed_model.single,
        "generate_timed": around.single,
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    told: list[float] = []
    same = 0
    dice = random.Random(0)
    with garbage_collection_off():
        for number in range(given.repeats + 1):
            for prompt in dice.sample(prompts, len(prompts)):
                answers = {}
                for side in dice.sample(list(sides), len(sides)):
                    taken, answers[side] = timed(partial(sides[side], prompt))
                    if number:  # the first round warms up
                        seconds[side].append(taken)
                told.append(answers["harness"].latency)
                # ours is cut at an end of text, behind which both go on
                text = answers["harness"].answer.text
                same += answers["bare_generate"].strip().startswith(text)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    return {
        "new_tokens": given.new_tokens,
        **{f"{side}_s": round(value, 5) for side, value in medians.items()},
        "harness_told_s": round(statistics.median(told), 5),
        "harness_over_bare": round(medians["harness"] / medians["bare_generate"], 3),
        "generate_timed_over_bare": round(medians["generate_timed"] / medians["bare_generate"], 3),
        "same_texts": round(same / len(told), 4),
        "told_over_bare": round(statistics.median(told) / medians["bare_generate"], 3),
    }


if __name__ == "__main__":
    main()
