"""Score labels with tunebench and with EleutherAI's lm-evaluation-harness, in one run:

    python benchmarks/label_scoring.py                              # assets/tiny
    python benchmarks/label_scoring.py --model PATH --labels 77
    python benchmarks/label_scoring.py --alone                      # without the harness

Needs the peers' environment (benchmarks/README.md), but for `--alone`. Prints one JSON line:
seconds of both sides (tokenization included, loading not), their ratio, the largest difference of
a score, how many predictions differ, all at `label_end: never`, as the harness scores. Then, for
this and for `where_needed`: tunebench's seconds, the tokens that must be computed over those that
were, and its tokens a second over those of a bare forward pass at its best batch size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import machine, timed
from transformers import logging
from workload import make_labels, make_prompts

from tunebench import models
from tunebench.answering import scoring
from tunebench.answering.prefix_cache import shared_tokens
from tunebench.answering.scoring import LabelEnd, Scores
from tunebench.answering.scoring.passes import Question
from tunebench.config.schema import Model, PromptingMethod
from tunebench.prompts import Prompt
from tunebench.prompts.tokenization import Ids

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
    parser.add_argument("--alone", action="store_true", help="leave the harness out")
    given = parser.parse_args()
    logging.set_verbosity_error()

    base = models.Base(Path(given.model), "", Model(path=given.model))
    model = models.load(base, PromptingMethod(kind="prompting")).eval()
    tokenizer = models.load_tokenizer(base)
    prompts, labels = make_prompts(given.prompts), make_labels(given.labels)

    def ours(label_end: LabelEnd) -> Scores:
        return scoring.score(
            model,
            tokenizer,
            prompts,
            labels,
            batch_tokens=given.batch_tokens,
            label_end=label_end,
        )

    ends: tuple[LabelEnd, ...] = ("never", "where_needed")
    measured = {end: timed(partial(ours, end), given.repeats) for end in ends}
    asked = {end: scoring.questions(tokenizer, prompts, labels, label_end=end) for end in ends}
    contexts = [question.context for question in asked["never"]]
    bare = max(bare_rate(model, contexts, size) for size in (1, 4, 8, 16, 32))
    found = {
        "benchmark": "label_scoring",
        "machine": machine(),
        "model": Path(given.model).name,
        "parameters": model.num_parameters(),
        "prompts": len(prompts),
        "labels": len(labels),
        "bare_tokens_per_s": round(bare),
    }
    if not given.alone:
        found |= beside_harness(model, tokenizer, prompts, labels, ours=measured["never"])
    for end in ends:
        fed = tokens_fed(model, partial(ours, end))
        found[end] = bound(asked[end], fed, measured[end][0], bare)
    print(json.dumps(found))


def beside_harness(
    model: Any,
    tokenizer: Any,
    prompts: list[Prompt],
    labels: list[str],
    *,
    ours: tuple[float, Scores],
) -> dict[str, Any]:
    """The harness's seconds and scores, compared with ours."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=THEIR_BATCH_SIZE)
    requests = [
        Instance("loglikelihood", {}, (prompt.prompt, label), index)
        for index, prompt in enumerate(prompts)
        for label in labels
    ]

    def theirs() -> Scores:
        found = iter(harness.loglikelihood(requests, disable_tqdm=True))
        return [[next(found)[0] for _ in labels] for _ in prompts]

    (our_s, our_scores), (their_s, their_scores) = ours, timed(theirs)
    pairs = list(zip(our_scores, their_scores, strict=True))
    return {
        "tunebench_s": round(our_s, 2),
        "lm_eval_s": round(their_s, 2),
        "times_faster": round(their_s / our_s, 1),
        "largest_difference": max(
            abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)
        ),
        "predictions_that_differ": sum(best(row) != best(other) for row, other in pairs),
    }


def best(row: list[float]) -> int:
    """The place of the highest score."""
    return max(range(len(row)), key=row.__getitem__)


def tokens_fed(model: Any, work: Callable[[], Any]) -> int:
    """How many tokens go through the model, padding and the trial of the fastest way included."""
    fed = 0

    def count(_: Any, __: Any, options: dict[str, Any]) -> None:
        nonlocal fed
        fed += options["input_ids"].numel()

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    work()
    handle.remove()
    return fed


def bound(asked: Sequence[Question], fed: int, seconds: float, bare: float) -> dict[str, float]:
    """What a perfect scorer would have to do, and how near this one is to it."""
    shared = shared_tokens([question.context for question in asked])
    needed = sum(question.length for question in asked) - shared * (len(asked) - 1)
    return {
        "seconds": round(seconds, 2),
        "tokens_needed": needed,
        "tokens_computed": fed,
        "needed_over_computed": round(needed / fed, 3),
        "tokens_per_s": round(needed / seconds),
        "share_of_bare": round(needed / seconds / bare, 3),
    }


def bare_rate(model: Any, contexts: Sequence[Ids], size: int) -> float:
    """Tokens a second of forward passes over full batches, logits of the last position only."""
    contexts = sorted(contexts, key=len)
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
