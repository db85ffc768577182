"""Reviews to classify: mixed opinions, negation, and remarks beside the point.

Every row has one hidden verdict, and most of its sentences follow it; where a sentence holds two
opinions, its main clause is the one that counts. The balance of a review never contradicts its
label, but some reviews come out even, and a little of the labels is wrong, as in any data that
people labelled. So no word decides a row, and nothing reaches 100%. Many opinions of the demo's
rows are implied and not stated; pretraining shows stated ones only.
"""

from dataclasses import dataclass

from tunebench.demo.grammar import MONTHS, NAMES, Dice, balanced, capitalized, fill
from tunebench.demo.review_remarks import IMPLIED
from tunebench.demo.review_words import (
    ASPECTS,
    GENERIC,
    KIND,
    PHRASES,
    PRODUCTS,
    SHOPS,
    VERDICTS,
)

LABELS = ("positive", "negative")
AGREEMENT = 0.8  # how often a sentence follows the verdict, before reviews against it are dropped
# of the sentences in the demo's rows; chosen so that zero-shot leaves room for tuning (at 0.5 it
# scored 76%, at 0.65 71%, on rows of the test seed), so how hard reviews are is no finding
IMPLIED_SHARE = 0.65
LABEL_NOISE = 0.02


@dataclass(frozen=True)
class Review:
    """A review with the facts that its text states, which pretraining asks about."""

    text: str
    label: str
    product: str
    opinions: tuple[
        tuple[str, str], ...
    ]  # (aspect, label of the opinion), as they stand in the text
    facts: tuple[tuple[str, str], ...]  # (question, answer)


@dataclass(frozen=True)
class _Sentence:
    text: str
    tone: str  # the label that it speaks for
    opinions: tuple[tuple[str, str], ...]


def generate(rows: int, *, seed: int) -> list[dict[str, str]]:
    """Rows with columns `text` and `label`; the same for the same seed everywhere."""
    dice = Dice(seed)
    return [
        {"text": sample(dice, label, implied=IMPLIED_SHARE).text, "label": _noisy(dice, label)}
        for label in balanced(dice, LABELS, rows)
    ]


def sample(dice: Dice, label: str, *, implied: float = 0.0) -> Review:
    """One review whose verdict is `label`; `implied` is the share of opinions not stated."""
    product = dice.pick(PRODUCTS)
    background, facts = _background(dice, product)
    while True:
        sentences = _sentences(dice, product, label, implied=implied)
        if sum(1 if said.tone == label else -1 for said in sentences) >= 0:
            break
    text = " ".join([*background, *(said.text for said in sentences)])
    opinions = tuple(opinion for said in sentences for opinion in said.opinions)
    return Review(text, label, product, opinions, facts)


def _sentences(dice: Dice, product: str, label: str, *, implied: float = 0.0) -> list[_Sentence]:
    """Three or four sentences of one or two opinions each, and at times a verdict."""
    aspects = dice.shuffled(ASPECTS[product])
    sentences = []
    for _ in range(3 + dice.index(2)):
        tone = _follow(dice, label, AGREEMENT)
        if implied and dice.chance(implied):
            opinion = (aspects.pop(), tone)
            sentences.append(_Sentence(_implied(dice, product, *opinion), tone, (opinion,)))
        elif dice.chance(0.25):
            minor, major = (aspects.pop(), opposite(tone)), (aspects.pop(), tone)
            text = _contrast(dice, product, minor, major)
            sentences.append(_Sentence(text, tone, (minor, major)))
        else:
            opinion = (aspects.pop(), tone)
            sentences.append(_Sentence(_opinion(dice, product, *opinion), tone, (opinion,)))
    if dice.chance(0.3):
        tone = _follow(dice, label, 0.95)
        sentences.append(_Sentence(fill(dice, VERDICTS[tone], {"product": product}), tone, ()))
    return sentences


def sentence(dice: Dice) -> tuple[str, str]:
    """A sentence on some product, with the label that it speaks for."""
    label = dice.pick(LABELS)
    said = dice.pick(_sentences(dice, dice.pick(PRODUCTS), label))
    return said.text, said.tone


def plain_phrase(dice: Dice) -> tuple[str, str]:
    """What one may say of an aspect, with the label that it speaks for."""
    label = dice.pick(LABELS)
    aspect = dice.pick(ASPECTS[dice.pick(PRODUCTS)])
    return f"{aspect} {_phrase(dice, aspect, label)}", label


def opposite(label: str) -> str:
    """The other label."""
    return LABELS[1 - LABELS.index(label)]


def _follow(dice: Dice, label: str, probability: float) -> str:
    return label if dice.chance(probability) else opposite(label)


def _noisy(dice: Dice, label: str) -> str:
    return opposite(label) if dice.chance(LABEL_NOISE) else label


def _opinion(dice: Dice, product: str, aspect: str, label: str) -> str:
    """A sentence of one opinion; some say it by denying the contrary."""
    slots = {
        "aspect": aspect,
        "product": product,
        "phrase": _phrase(dice, aspect, label),
        "word": dice.pick(GENERIC[label]),
        "contrary": dice.pick(GENERIC[opposite(label)]),
        "better": "better" if label == "positive" else "worse",
    }
    plain = (
        "The {aspect} {phrase}.",
        "The {aspect} {phrase}.",
        "The {aspect} {phrase}.",
        "I found the {aspect} {word}.",
        "{word} {aspect}.",
        "My wife calls the {aspect} {word}.",
        "The {aspect} is {better} than on my last {product}.",
    )
    denying = (
        "The {aspect} is not {contrary}.",
        "Nobody could call the {aspect} {contrary}.",
        "The {aspect} was anything but {contrary}.",
        "I expected a {contrary} {aspect}, and I was wrong.",
        "I had read that the {aspect} was {contrary}, which is not true.",
    )
    return capitalized(fill(dice, denying if dice.chance(0.15) else plain, slots))


def _implied(dice: Dice, product: str, aspect: str, label: str) -> str:
    slots = {"name": dice.pick(NAMES), "month": dice.pick(MONTHS)}
    return fill(dice, IMPLIED[label], {**slots, "aspect": aspect, "product": product})


def _contrast(dice: Dice, product: str, minor: tuple[str, str], major: tuple[str, str]) -> str:
    """A sentence of two opinions, of which the main clause counts."""
    slots = {
        "product": product,
        "minor": f"the {minor[0]} {_phrase(dice, *minor)}",
        "major": f"the {major[0]} {_phrase(dice, *major)}",
    }
    forms = (
        "Although {minor}, {major}.",
        "Even if {minor}, {major}.",
        "I admit that {minor}, but {major}.",
        "True, {minor}; still, {major}.",
        "That {minor} matters less to me than that {major}.",
        "{major}, even though {minor}.",
    )
    return capitalized(fill(dice, forms, slots))


def _phrase(dice: Dice, aspect: str, label: str) -> str:
    if dice.chance(0.55):
        return dice.pick(PHRASES[KIND[aspect]][label])
    return f"{dice.pick(('is', 'was', 'seems', 'turned out'))} {dice.pick(GENERIC[label])}"


def _background(dice: Dice, product: str) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Sentences that say nothing of the verdict, and the questions that they answer."""
    slots = {
        "product": product,
        "person": dice.pick(("sister", "brother", "mother", "father", "friend", "neighbour")),
        "month": dice.pick(MONTHS),
        "shop": dice.pick(SHOPS),
        "name": dice.pick(NAMES),
    }
    remarks = (
        ("I came across this {product} in {month}.", "When did it begin?", "month"),
        ("My {person} had told me of the {product}.", "Who told the writer of it?", "person"),
        ("The {product} was a present for {name}.", "Who got the present?", "name"),
        ("I saw the {product} in a {shop}.", "Where did the writer see it?", "shop"),
        (
            "{name} and I had the {product} for a week in {month}.",
            "Who was with the writer?",
            "name",
        ),
        ("It is my second {product} since {month}.", "Since when?", "month"),
        ("A {shop} lent me the {product}.", "Who lent it?", "shop"),
    )
    chosen = dice.sample(remarks, 1 if dice.chance(0.75) else 0)
    sentences = [remark.format_map(slots) for remark, _, _ in chosen]
    return sentences, tuple((question, slots[slot]) for _, question, slot in chosen)
