"""What the generators share: reproducible draws, names, places, times, and filling of templates."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def words(text: str) -> tuple[str, ...]:
    """The words of a text: word lists read better so than as literals."""
    return tuple(text.split())


def phrases(text: str) -> tuple[str, ...]:
    """The parts of a text between its `|`."""
    return tuple(phrase.strip() for phrase in text.split("|"))


NAMES = (
    "Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Harry", "Ines", "Jack",
    "Kate", "Leo", "Maria", "Nick", "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor",
    "Wanda", "Yusuf", "Zoe", "Adam", "Bella", "Chris", "Diana", "Erik", "Fiona", "George",
    "Helen", "Ivan", "Julia", "Karim", "Laura", "Martin", "Nora", "Oscar", "Petra", "Robert",
    "Sofia", "Thomas", "Uma", "Vera", "Walter", "Amir", "Clara", "Daniel", "Eva", "Frank",
)  # fmt: skip
PLACES = (
    "library", "station", "museum", "harbour", "market", "bakery", "stadium", "theatre",
    "cinema", "park", "airport", "gym", "church", "school", "office", "beach", "bridge", "castle",
    "gallery", "pool", "hospital", "zoo", "fountain", "bookshop", "pharmacy", "garage",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIMES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "noon",
    "half past three", "half past five", "half past six", "half past eight",
)  # fmt: skip
MONTHS = ("January", "March", "April", "June", "July", "August", "October", "December")


class Dice:
    """Draws built on `random()` alone: the one method whose sequence Python promises to keep."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random

    def index(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        return int(self.random() * count)

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.random() * len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, in random order."""
        return self.shuffled(items)[:count]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        return [item for _, item in sorted(((self.random(), item) for item in items), key=_first)]


def _first(pair: tuple[float, object]) -> float:
    return pair[0]


def capitalized(text: str) -> str:
    """Only the first letter changes: `str.capitalize` would lower the names in the rest."""
    return text[:1].upper() + text[1:]


def fill(dice: Dice, templates: Sequence[str], slots: Mapping[str, str]) -> str:
    """One of the templates, with its `{slots}` filled in."""
    return dice.pick(templates).format_map(slots)


def balanced(dice: Dice, labels: Sequence[str], rows: int) -> list[str]:
    """`rows` labels in random order whose counts differ by one at most."""
    return dice.shuffled([labels[row % len(labels)] for row in range(rows)])
