"""Write summaries with tunebench and with transformers' text-generation pipeline, in one run:

    python benchmarks/generation.py                                  # assets/tiny, the demo's chats
    python benchmarks/generation.py --model ../shared/models/reviews-3m \\
        --rows ../shared/data/samsum/test.json

Prints one JSON line: rows a second of tunebench, of the pipeline at each of its batch sizes, how
many times the best of these, and how many texts are the same. Tokenization counts on both sides,
loading on neither.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from measure import machine, timed
from transformers import TextGenerationPipeline, logging

from tunebench import models
from tunebench.answering import generation
from tunebench.config.data import Template
from tunebench.config.schema import Model, PromptingMethod
from tunebench.demo import chats
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat
from tunebench.prompts import Prompt

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = Template(prompt="### Dialogue:{text} ### Summary:")


def main() -> None:
    """Measure both sides and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "assets" / "tiny"))
    parser.add_argument("--rows", type=Path, help="a JSON list of mappings with a dialogue")
    parser.add_argument("--count", type=int, help="how many of the rows")
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--pipeline-batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    given = parser.parse_args()
    logging.set_verbosity_error()

    base = models.Base(Path(given.model), "", Model(path=given.model))
    model = models.load(base, PromptingMethod(kind="prompting")).eval()
    tokenizer = models.load_tokenizer(base)
    prompts = make_prompts(tokenizer, model, given)
    options = {"do_sample": False, "max_new_tokens": given.new_tokens}
    generation.configure(model, tokenizer, options)

    def ours() -> list[str]:
        found = generation.generate(
            model, tokenizer, prompts, options, batch_tokens=given.batch_tokens
        )
        return [text.text for text in found]

    peer = TextGenerationPipeline(model=model, tokenizer=tokenizer)

    def theirs(batch_size: int) -> list[str]:
        texts = [prompt.prompt for prompt in prompts]
        found = peer(texts, batch_size=batch_size, return_full_text=False, **options)
        return [entry[0]["generated_text"].strip() for entry in found]

    our_s, our_texts = timed(ours)
    rates, same = {}, {}
    for size in given.pipeline_batch_sizes:
        seconds, their_texts = timed(partial(theirs, size))
        rates[size] = round(len(prompts) / seconds, 2)
        same[size] = sum(a == b for a, b in zip(our_texts, their_texts, strict=True))
    print(
        json.dumps(
            {
                "benchmark": "generation",
                "machine": machine(),
                "model": Path(given.model).name,
                "rows": len(prompts),
                "new_tokens": given.new_tokens,
                "tunebench_rows_per_s": round(len(prompts) / our_s, 2),
                "pipeline_rows_per_s_by_batch_size": rates,
                "times_faster": round(len(prompts) / our_s / max(rates.values()), 2),
                "same_texts_by_batch_size": same,
            }
        )
    )


def make_prompts(tokenizer: Any, model: Any, given: Any) -> list[Prompt]:
    """Dialogues as prompts, cut where prompt and answer would not fit the context."""
    if given.rows:
        texts = [row["dialogue"] for row in json.loads(given.rows.read_text("utf-8"))]
    else:
        texts = [str(row["dialogue"]) for row in chats.generate(400, seed=7)]
    rows = [
        {"id": str(index), "text": text, "target": ""}
        for index, text in enumerate(texts[: given.count])
    ]
    style = PromptFormat(
        layout=templates.build_layout(TEMPLATE, tokenizer),
        tokenizer=tokenizer,
        max_length=model.config.max_position_embeddings,
        answer_tokens=given.new_tokens,
        truncation_side="right",
        labelled=False,
    )
    return style.format_all(rows, answer=False)


if __name__ == "__main__":
    main()
