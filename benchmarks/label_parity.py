"""Compare label scores with EleutherAI's lm-evaluation-harness, architecture by architecture:

    python benchmarks/label_parity.py
    python benchmarks/label_parity.py ../shared/models/reviews-3m ../shared/models/stories-260k
    python benchmarks/label_parity.py --write tests/label_scores.json

Needs the peers' environment (benchmarks/README.md). Prints one JSON line for each model, with and
without an adapter: the way that was taken, the largest difference of a score (nats, float32), and
how many predictions differ. Labels are scored without their end, as the harness scores them. Line
ends at a prompt's end it scores with each label: what they add to all labels alike is taken off.
`--write` keeps the harness's scores of `assets/tiny` as test data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoModelForCausalLM, logging

from tunebench import models
from tunebench.answering import scoring
from tunebench.config.schema import Model, PeftMethod, PromptingMethod
from tunebench.prompts import Prompt, tokenization

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "assets" / "tiny"
SHAPE = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
RANDOM = {"mistral": {"num_key_value_heads": 2, "intermediate_size": 128}, "gpt_neox": {}}
ADAPTERS = {
    "none": None,
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"},
}
# one token and many, shared beginnings, one the beginning of another, white space
LABELS = [
    "positive",
    "negative",
    "p",
    "pos",
    "not positive at all",
    "not positive",
    " maybe",
]
PROMPTS = [
    "The film was warm and funny. Sentiment:",
    "The film was dull.\nSentiment: ",
    "Text: a tired cast and a weak end, and yet I laughed at every joke of it.\n\nAnswer:\n",
    "a:",
    "It came on time, and " * 12 + "it works.\nAnswer:",
]


def main() -> None:
    """Compare, and print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="folders, beside the models made on the spot")
    parser.add_argument("--write", type=Path, help="where to keep the harness's scores")
    given = parser.parse_args()
    logging.set_verbosity_error()
    torch.manual_seed(0)
    if given.write:
        tokenizer, model = next(subjects([]))[2:]
        kept = {"prompts": PROMPTS, "labels": LABELS, "scores": theirs(model, tokenizer, "right")}
        given.write.write_text(json.dumps(kept, indent=1) + "\n")
        return
    worst = 0.0
    for name, adapter, tokenizer, model in subjects(given.models):
        for side in ("left", "right"):
            found = compare(model, tokenizer, side)
            worst = max(worst, found["largest_difference"])
            print(json.dumps({"model": name, "adapter": adapter, "padding_side": side} | found))
    sys.exit(f"scores differ by {worst}" if worst > 1e-3 else 0)


def subjects(folders: list[str]) -> Iterator[tuple[str, str, Any, Any]]:
    """Name, adapter, tokenizer and model of each comparison."""
    for folder in [str(TINY), *folders]:
        base = models.Base(Path(folder), "", Model(path=folder))
        for adapter, spec in ADAPTERS.items():
            model = models.load(base, PromptingMethod(kind="prompting"))
            yield Path(folder).name, adapter, models.load_tokenizer(base), adapted(model, spec)
    tokenizer = tokenization.load(TINY)
    for name, extra in RANDOM.items():
        config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **SHAPE | extra)
        for adapter, spec in ADAPTERS.items():
            model = AutoModelForCausalLM.from_config(config)
            yield f"random {name}", adapter, tokenizer, adapted(model, spec)


def adapted(model: Any, spec: dict[str, Any] | None) -> Any:
    """The model, with an adapter of random weights where one is asked for."""
    if spec is None:
        return model.eval()
    tuned = models.with_adapter(model, PeftMethod(kind="peft", adapter=spec), {}).eval()
    with torch.no_grad():
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.1)
    return tuned


def compare(model: Any, tokenizer: Any, padding_side: str) -> dict[str, Any]:
    """Both sides' scores of the same prompts and labels."""
    tokenizer.padding_side = padding_side
    prompts = [Prompt(id=text, prompt=text, completion="") for text in PROMPTS]
    ours = scoring.score(model, tokenizer, prompts, LABELS, batch_tokens=256, label_end="never")
    pairs = [
        (row, without_line_ends(row, other) if text.endswith("\n") else other)
        for text, row, other in zip(
            PROMPTS, ours, theirs(model, tokenizer, padding_side), strict=True
        )
    ]
    asked = scoring.questions(tokenizer, prompts, LABELS, label_end="never")
    return {
        "way": scoring.fastest_pass(model, tokenization.pad_id(tokenizer), asked).name,
        "scores": len(PROMPTS) * len(LABELS),
        "largest_difference": max(
            abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)
        ),
        "predictions_that_differ": sum(
            row.index(max(row)) != other.index(max(other)) for row, other in pairs
        ),
    }


def without_line_ends(ours: list[float], theirs: list[float]) -> list[float]:
    """The harness's scores less what a prompt's line ends add to each of them."""
    line_ends = theirs[0] - ours[0]
    return [score - line_ends for score in theirs]


def theirs(model: Any, tokenizer: Any, padding_side: str) -> list[list[float]]:
    """The harness's scores: prompts × labels."""
    tokenizer.padding_side = padding_side
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    requests = [
        Instance("loglikelihood", {}, (prompt, label), index)
        for index, prompt in enumerate(PROMPTS)
        for label in LABELS
    ]
    found = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [[float(next(found)[0]) for _ in LABELS] for _ in PROMPTS]


if __name__ == "__main__":
    main()
