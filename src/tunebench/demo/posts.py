"""Posts to sort by topic, as in newsgroups: the topics form a ring, and neighbours share words.

A post draws its nouns from its topic, from what the topic shares with one neighbour, and now and
then from anywhere. So a few posts hold no word of their own topic and only a guess is left, and a
little of the labels is wrong.
"""

from dataclasses import dataclass

from tunebench.demo.grammar import MONTHS, NAMES, Dice, balanced, capitalized
from tunebench.demo.post_words import COMMON, FRAMES, OWN, SHARED

LABELS = tuple(OWN)
OWN_SHARE, SHARED_SHARE, STRAY_SHARE = 0.32, 0.42, 0.14  # of the nouns; the rest are common ones
LABEL_NOISE = 0.02


@dataclass(frozen=True)
class Post:
    """A post with its topic and its nouns, in the order of the text."""

    text: str
    label: str
    nouns: tuple[str, ...]
    is_question: bool  # whether the last sentence asks something


def generate(rows: int, *, seed: int) -> list[dict[str, str]]:
    """Rows with columns `text` and `label`; the same for the same seed everywhere."""
    dice = Dice(seed)
    return [
        {"text": sample(dice, label).text, "label": _noisy(dice, label)}
        for label in balanced(dice, LABELS, rows)
    ]


def sample(dice: Dice, label: str) -> Post:
    """One post on the topic `label`, of three to five sentences."""
    neighbour = _neighbour(dice, label)
    nouns: list[str] = []
    sentences: list[str] = []
    for frame in dice.sample(FRAMES, 3 + dice.index(2)):
        chosen: list[str] = []
        for _ in range(frame.count("{}")):
            chosen.append(_noun(dice, label, neighbour, [*nouns, *chosen]))
        nouns += chosen
        slots = {"name": dice.pick(NAMES), "month": dice.pick(MONTHS)}
        sentences.append(capitalized(frame.format(*chosen, **slots)))
    return Post(" ".join(sentences), label, tuple(nouns), sentences[-1].endswith("?"))


def shared(topic: str, neighbour: str) -> tuple[str, ...]:
    """The words that two neighbouring topics have in common."""
    return SHARED.get((topic, neighbour)) or SHARED[neighbour, topic]


def _neighbour(dice: Dice, topic: str) -> str:
    step = 1 if dice.chance(0.5) else -1
    return LABELS[(LABELS.index(topic) + step) % len(LABELS)]


def _noun(dice: Dice, topic: str, neighbour: str, used: list[str]) -> str:
    """A noun for the post that does not stand in it yet."""
    while True:
        noun = dice.pick(_source(dice, topic, neighbour))
        if noun not in used:
            return noun


def _source(dice: Dice, topic: str, neighbour: str) -> tuple[str, ...]:
    draw = dice.random()
    if draw < OWN_SHARE:
        return OWN[topic]
    if draw < OWN_SHARE + SHARED_SHARE:
        return shared(topic, neighbour)
    if draw < OWN_SHARE + SHARED_SHARE + STRAY_SHARE:
        return OWN[dice.pick(LABELS)]
    return COMMON


def _noisy(dice: Dice, label: str) -> str:
    return dice.pick(LABELS) if dice.chance(LABEL_NOISE) else label
