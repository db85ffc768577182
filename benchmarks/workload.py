"""The prompts and labels that label scoring is measured with."""

from __future__ import annotations

import random

from tunebench.demo import posts
from tunebench.prompts import Prompt


def make_prompts(count: int) -> list[Prompt]:
    """Posts of the demo strung together, 60 to 180 words each."""
    dice = random.Random(0)
    words = " ".join(str(row["text"]) for row in posts.generate(count * 6, seed=7)).split()
    prompts = []
    for index in range(count):
        length = dice.randint(60, 180)
        start = dice.randrange(len(words) - length)
        text = " ".join(words[start : start + length])
        prompts.append(Prompt(id=str(index), prompt=f"{text}\nTopic:", completion=""))
    return prompts


def make_labels(count: int) -> list[str]:
    """Labels of one to four words; some share their beginning, some are another's beginning."""
    dice = random.Random(1)
    words = "the garden bike trains music money film cold sea dog kitchen phone".split()  # noqa: SIM905
    labels: dict[str, None] = {}
    while len(labels) < count:
        labels[" " + " ".join(dice.choices(words, k=dice.randint(1, 4)))] = None
    return list(labels)
