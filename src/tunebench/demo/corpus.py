"""The pretraining text: plain documents, documents with questions, and prompts of other tasks.

Pretraining draws from seeds of 1,000,000 and more; the demo draws its rows from seeds of 1,000 and
less, so that no row to be tuned or tested on has been seen. The reviews of pretraining state every
opinion; many of the demo's imply them.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tunebench.demo import chats
from tunebench.demo.exercises import CHAT_MAKERS, MAKERS, any_post, any_review, any_words
from tunebench.demo.grammar import Dice
from tunebench.demo.post_words import OWN
from tunebench.demo.review_words import GENERIC
from tunebench.demo.reviews import plain_phrase

PRETRAINING_SEED = 1_000_000
VALIDATION_SEED = 2_000_000

_HEAD = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n"
)
_SHOT = "### Input:\n{input}\n\n### Response:\n"


class Document(NamedTuple):
    """A text, and where it holds what can be inferred from what stands before."""

    text: str
    answers: tuple[tuple[int, int], ...]  # (start, end) in characters


_Parts = Iterable[tuple[str, str]]  # (what is given, what follows from it)


def documents(seed: int) -> Iterator[Document]:
    """Endless short documents: prompts, and somewhat more often text."""
    dice = Dice(seed)
    while True:
        yield prompt(dice, shots=0) if dice.chance(0.45) else text(dice)


def long_documents(seed: int) -> Iterator[Document]:
    """Endless prompts with one to four solved exercises, so that far positions are trained too."""
    dice = Dice(seed)
    while True:
        yield prompt(dice, shots=1 + dice.index(4))


def prompt(dice: Dice, *, shots: int) -> Document:
    """An exercise in the form of the demo's prompts, with `shots` solved ones before it."""
    maker = dice.pick(MAKERS)
    count = min(shots, 2) if maker in CHAT_MAKERS else shots  # chats are twice as long
    exercises = [maker(dice) for _ in range(count + 1)]
    heads = [_HEAD.format(instruction=exercises[0].instruction), *["\n\n"] * count]
    return _document(
        (head + _SHOT.format(input=exercise.input), exercise.answer)
        for head, exercise in zip(heads, exercises, strict=True)
    )


def text(dice: Dice) -> Document:
    """A review, post or chat as it stands, or with remarks or answers after it; or a word list."""
    makers = (_review, _post, _chat, _chat, _repetition, _glossary, _glossary)
    return _document(dice.pick(makers)(dice))


def _document(parts: _Parts) -> Document:
    text, answers = "", []
    for given, answer in parts:
        start = len(text) + len(given)
        text += given + answer
        answers.append((start, len(text)))
    return Document(text, tuple(answers))


def _review(dice: Dice) -> _Parts:
    review = any_review(dice)
    if dice.chance(0.25):
        in_short = f"{review.text}\nIn short, a"
        return [(in_short, f" {review.label}"), (" review of the", f" {review.product}.")]
    remarks = [(f"\n{aspect}:", f" {label}") for aspect, label in dice.shuffled(review.opinions)]
    return [(review.text, ""), *remarks]


def _post(dice: Dice) -> _Parts:
    post = any_post(dice)
    if dice.chance(0.5):
        header = dice.pick(("{}: ", "Posted to the {} group: "))
        return [(header.format(post.label) + post.text, "")]
    if dice.chance(0.5):
        return [(post.text, "")]
    return [(f"{post.text}\nKeywords:", f" {', '.join(post.nouns)}")]


def _chat(dice: Dice) -> _Parts:
    chat = chats.sample(dice)
    asks = dice.shuffled(
        [*chat.asks, ("Who speaks first?", chat.turns[0][0]), ("Who?", ", ".join(chat.names))]
    )
    return [(chat.dialogue, ""), *((f"\n{question}", f" {answer}") for question, answer in asks)]


def _repetition(dice: Dice) -> _Parts:
    """The same few words three times: nothing else teaches copying as early."""
    line = dice.pick((" ", ", ", "\n")).join(any_words(dice, 3 + dice.index(14)))
    return [(f"{line}\n", line), ("\n", line)]


def _glossary(dice: Dice) -> _Parts:
    """Words with their topics, or remarks with their tones: soon learned, and needed everywhere."""
    pairs = _tones(dice) if dice.chance(0.5) else _fields(dice)
    return [(f"{words}:", f" {kind}\n") for words, kind in pairs]


def _fields(dice: Dice) -> list[tuple[str, str]]:
    topics = [dice.pick(tuple(OWN)) for _ in range(8)]
    return [(dice.pick(OWN[topic]), topic) for topic in topics]


def _tones(dice: Dice) -> list[tuple[str, str]]:
    labels = [dice.pick(tuple(GENERIC)) for _ in range(4)]
    words = [(dice.pick(GENERIC[label]), label) for label in labels]
    return dice.shuffled([*words, *(plain_phrase(dice) for _ in range(4))])
