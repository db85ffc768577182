"""Score labels with tunebench and with EleutherAI's lm-evaluation-harness, in one run:

    python benchmarks/label_scoring.py                              # assets/tiny
    python benchmarks/label_scoring.py --model PATH --labels 77

Needs the peers' environment (benchmarks/README.md). Prints one JSON line: seconds of both sides
(tokenization included, loading not), their ratio, the largest difference of a score, how many
predictions differ; then what bounds tunebench's side: the tokens that must be computed over those
that were, and its tokens a second over those of a bare forward pass at its best batch size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from measure import machine, timed
from transformers import logging
from workload import make_labels, make_prompts

from tunebench import models, scoring
from tunebench.batching import at_once, within_budget
from tunebench.beginning import shared_tokens
from tunebench.config.schema import Model, PromptingMethod

ROOT = Path(__file__).resolve().parents[1]
THEIR_BATCH_SIZE = 16


def main() -> None:
    """Measure both sides and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "assets" / "tiny"))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    logging.set_verbosity_error()

    base = models.Base(Path(given.model), "", Model(path=given.model))
    model = models.load(base, PromptingMethod(kind="prompting")).eval()
    tokenizer = models.load_tokenizer(base)
    prompts, labels = make_prompts(given.prompts), make_labels(given.labels)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=THEIR_BATCH_SIZE)
    requests = [
        Instance("loglikelihood", {}, (prompt.prompt, label), index)
        for index, prompt in enumerate(prompts)
        for label in labels
    ]

    def ours() -> list[list[float]]:
        return scoring.score(model, tokenizer, prompts, labels, batch_tokens=given.batch_tokens)

    def theirs() -> list[list[float]]:
        found = iter(harness.loglikelihood(requests, disable_tqdm=True))
        return [[next(found)[0] for _ in labels] for _ in prompts]

    (our_s, our_scores), (their_s, their_scores) = (
        timed(ours, given.repeats),
        timed(theirs),
    )
    pairs = list(zip(our_scores, their_scores, strict=True))
    asked = scoring.questions(tokenizer, prompts, labels)
    bounds = bound(model, asked, our_s, given)
    print(
        json.dumps(
            {
                "benchmark": "label_scoring",
                "machine": machine(),
                "model": Path(given.model).name,
                "parameters": model.num_parameters(),
                "prompts": len(prompts),
                "labels": len(labels),
                "tunebench_s": round(our_s, 2),
                "lm_eval_s": round(their_s, 2),
                "times_faster": round(their_s / our_s, 1),
                "largest_difference": max(
                    abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)
                ),
                "predictions_that_differ": sum(best(row) != best(other) for row, other in pairs),
                **bounds,
            }
        )
    )


def best(row: list[float]) -> int:
    """The place of the highest score."""
    return max(range(len(row)), key=row.__getitem__)


def bound(model: Any, asked: list[Any], seconds: float, given: Any) -> dict[str, float]:
    """What a perfect scorer would have to do, and how near this one is to it."""
    fed = 0

    def count(_: Any, __: Any, options: dict[str, Any]) -> None:
        nonlocal fed
        fed += options["input_ids"].numel()

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    run = scoring.fastest_pass(model, 0, asked)
    fed = 0
    lengths = [question.length for question in asked]
    most = at_once(model, given.batch_tokens)
    for _ in within_budget(lengths, most, lambda batch: run([asked[index] for index in batch])):
        pass
    handle.remove()
    shared = min(fed, shared_tokens([question.context for question in asked]))
    needed = sum(lengths) - shared * (len(asked) - 1)
    bare = max(bare_rate(model, asked, size) for size in (1, 4, 8, 16, 32))
    return {
        "tokens_needed": needed,
        "tokens_computed": fed,
        "needed_over_computed": round(needed / fed, 3),
        "tokens_per_s": round(needed / seconds),
        "bare_tokens_per_s": round(bare),
        "share_of_bare": round(needed / seconds / bare, 3),
    }


def bare_rate(model: Any, asked: list[Any], size: int) -> float:
    """Tokens a second of forward passes over full batches, logits of the last position only."""
    contexts = sorted((question.context for question in asked), key=len)
    batches = []
    for start in range(0, len(contexts) - size + 1, size):
        some = contexts[start : start + size]
        length = min(map(len, some))
        batches.append(torch.tensor([ids[:length] for ids in some], device=model.device))

    def work() -> None:
        with torch.inference_mode():
            for ids in batches:
                model(input_ids=ids, use_cache=False, logits_to_keep=1)

    seconds, _ = timed(work, 3)
    return sum(ids.numel() for ids in batches) / seconds


if __name__ == "__main__":
    main()
