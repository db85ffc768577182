"""Chats to summarize: two to four people settle something, amid small talk and dropped plans.

A summary is composed of the facts (who, what, when, where, and why not) in words of its own; no
turn of the chat can be copied for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tunebench.demo import chat_stories as tales
from tunebench.demo.grammar import DAYS, NAMES, PLACES, TIMES, Dice, capitalized, fill

_KINDS: Mapping[str, tuple[str, ...]] = {
    "day": DAYS,
    "time": TIMES,
    "place": PLACES,
    "do": tales.ACTIVITIES,
    "thing": tales.THINGS,
    "purpose": tales.PURPOSES,
    "gift": tales.GIFTS,
    "city": tales.CITIES,
    "vehicle": tales.VEHICLES,
    "broken": tales.BROKEN,
    "exam": tales.EXAMS,
    "pet": tales.PETS,
}
_ANSWERS = ("Okay!", "Great.", "Thank you!", "See you.", "Perfect.", "Bye!", "All right.", "Good.")


@dataclass(frozen=True)
class Chat:
    """A chat with its summary and the facts that it states."""

    turns: tuple[tuple[str, str], ...]  # (name, line)
    summary: str
    slots: Mapping[str, str]  # every fact by the name of its slot in the story
    asks: tuple[tuple[str, str], ...]  # (question, answer)

    @property
    def dialogue(self) -> str:
        """One line per turn."""
        return "\n".join(f"{name}: {line}" for name, line in self.turns)

    @property
    def names(self) -> tuple[str, ...]:
        """Who speaks, in the order of their first turns."""
        return tuple(dict.fromkeys(name for name, _ in self.turns))


def generate(rows: int, *, seed: int) -> list[dict[str, str]]:
    """Rows with columns `dialogue` and `summary`; the same for the same seed everywhere."""
    dice = Dice(seed)
    chats = [sample(dice) for _ in range(rows)]
    return [{"dialogue": chat.dialogue, "summary": chat.summary} for chat in chats]


def sample(dice: Dice) -> Chat:
    """One chat on a story drawn at random."""
    story = dice.pick(tales.STORIES)
    slots = _slots(dice)
    turns = [_turn(dice, turn, slots) for turn in story.turns]
    summary = fill(dice, story.summaries, slots)
    asks = tuple((question, answer.format_map(slots)) for question, answer in story.asks)
    return Chat(tuple(_with_small_talk(dice, turns)), summary, slots, asks)


def _slots(dice: Dice) -> dict[str, str]:
    """A value for every slot of every story; the second of a kind differs from the first."""
    slots = dict(zip("abcd", dice.sample(NAMES, 4), strict=True))
    for kind, values in _KINDS.items():
        slots[kind], slots[f"{kind}2"] = dice.sample(values, 2)
    slots["reason"], slots["reason_told"] = dice.pick(tales.REASONS)
    return slots


def _turn(dice: Dice, turn: str, slots: Mapping[str, str]) -> tuple[str, str]:
    speaker, wordings = turn.split(": ", 1)
    return slots[speaker], capitalized(fill(dice, wordings.split(" | "), slots))


def _with_small_talk(dice: Dice, turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The turns with a greeting, an aside, and a last word here and there."""
    names = list(dict.fromkeys(name for name, _ in turns))
    result = list(turns)
    for _ in range(dice.index(3)):
        at = 1 + dice.index(len(result) - 1)
        result.insert(at, (_other(dice, names, result[at - 1][0]), dice.pick(tales.SMALL_TALK)))
    if dice.chance(0.4):
        greeter = result[0][0]
        greeted = _other(dice, names, greeter)
        result[0] = (greeter, f"{dice.pick(('Hi', 'Hello', 'Hey'))} {greeted}! {result[0][1]}")
    if dice.chance(0.5):
        result.append((_other(dice, names, result[-1][0]), dice.pick(_ANSWERS)))
    return result


def _other(dice: Dice, names: list[str], name: str) -> str:
    return dice.pick([other for other in names if other != name])
