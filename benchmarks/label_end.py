"""Whether an untouched model is right more often when labels are scored with the end of an answer:

    python benchmarks/label_end.py                       # assets/tiny, on the demo's reviews
    python benchmarks/label_end.py MODEL … --imdb ../shared/data/imdb

Prints one JSON line: for each model, template, number of solved examples and pair of labels the
accuracy without ends (as lm-evaluation-harness scores) and with ends on both labels, and how often
the second label was chosen, of test rows half of which have it.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

from measure import ROOT, machine
from transformers import logging

from tunebench import models
from tunebench.answering import scoring
from tunebench.config.data import Message, Template
from tunebench.config.schema import Model, PromptingMethod
from tunebench.data import sampling
from tunebench.data.tables import TextRow
from tunebench.demo import reviews
from tunebench.errors import PromptError
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat
from tunebench.prompts import tokenization

TEXT_TOKENS = 96  # of each review: its end, where the verdict stands
TEMPLATES = {
    "plain": Template(
        prompt="{instruction}\n\n{shots}Review: {text}\nAnswer:",
        shot="Review: {text}\nAnswer: {completion}\n\n",
        completion=" {completion}",
    ),
    "chat": Template(messages=[Message(role="user", content="{instruction}\n\nReview: {text}")]),
}
# none begins another; one begins another, in letters and in words
LABELS = {
    ("negative", "positive"): "Is the review negative or positive? Answer with one word.",
    ("bad", "very good"): "Is the film bad or very good? Answer with these words.",
    ("1", "10"): "Rate the film: answer 1 if it is bad and 10 if it is good.",
    ("10", "1"): "How bad is the film? Answer 10 if it is bad and 1 if it is good.",
    ("good", "good grief"): "Answer good if the film is bad, and good grief if it is good.",
}


def main() -> None:
    """Score, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=[ROOT / "assets" / "tiny"])
    parser.add_argument("--imdb", type=Path, help="a folder with train.parquet and test.parquet")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--shots", type=int, nargs="*", default=[0, 4])
    given = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    rows = sample(given.imdb, "test", given.rows)
    examples = sample(given.imdb, "train", max(given.shots, default=0))
    results = []
    for folder in given.models:
        base = models.Base(folder, "", Model(path=str(folder)))
        model = models.load(base, PromptingMethod(kind="prompting"))
        tokenizer = models.load_tokenizer(base)
        for name, shots, labels in product(TEMPLATES, given.shots, LABELS):
            style = TEMPLATES[name]
            known = {"model": folder.name, "template": name, "shots": shots, "labels": labels}
            found = measure(model, tokenizer, style, labels, rows, examples[:shots])
            if found:
                results.append(known | found)
                print(json.dumps(results[-1]), file=sys.stderr)
    print(
        json.dumps(
            {
                "benchmark": "label_end",
                "machine": machine(),
                "rows": len(rows),
                "data": "imdb" if given.imdb else "tunebench.demo.reviews",
                "results": results,
            }
        )
    )


def sample(imdb: Path | None, split: str, count: int) -> list[TextRow]:
    """Balanced rows, the same each time; `target` is 0 or 1."""
    if not count:
        return []
    if imdb is None:
        seed = 7 if split == "test" else 8
        made = [
            (str(row["text"]), str(row["label"])) for row in reviews.generate(4 * count, seed=seed)
        ]
        given = [(text, str(reviews.LABELS[::-1].index(label))) for text, label in made]
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(imdb / f"{split}.parquet", columns=["text", "label"]).to_pylist()
        given = [(row["text"].replace("<br />", " "), str(row["label"])) for row in table]
    chosen = sampling.first_rows([label for _, label in given], count)
    return [{"id": "", "text": given[place][0], "target": given[place][1]} for place in chosen]


def measure(
    model: Any,
    tokenizer: Any,
    template: Template,
    labels: tuple[str, str],
    rows: list[TextRow],
    examples: list[TextRow],
) -> dict[str, Any]:
    """Both accuracies; nothing where the tokenizer has no such template."""
    try:
        layout = templates.build_layout(
            template, tokenizer, instruction=LABELS[labels], shots=len(examples)
        )
    except PromptError:
        return {}

    def named(row: TextRow) -> TextRow:
        ids = tokenization.encode(tokenizer, tokenization.MarkedText(row["text"], begin=False))
        return row | {
            "target": labels[int(row["target"])],
            "text": tokenizer.decode(ids[-TEXT_TOKENS:]).strip(),
        }

    style = PromptFormat(
        layout=layout,
        tokenizer=tokenizer,
        max_length=model.config.max_position_embeddings,
        answer_tokens=8,
        truncation_side="left",
        shots=[named(row) for row in examples],
    )
    prompts = style.format_all(list(map(named, rows)))
    found: dict[str, Any] = {}
    for label_end in ("never", "always"):
        scores = scoring.score(
            model, tokenizer, prompts, labels, batch_tokens=4096, label_end=label_end
        )
        answers = [labels[row.index(max(row))] for row in scores]
        right = [answer == prompt.label for answer, prompt in zip(answers, prompts, strict=True)]
        found[f"accuracy_{label_end}"] = sum(right) / len(right)
        found[f"second_{label_end}"] = answers.count(labels[1]) / len(answers)
    return found


if __name__ == "__main__":
    main()
