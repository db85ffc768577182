"""Spellings of labels: those that are certainly equal, and those that only look alike.

`normal` is equal for spellings of the same label, which may differ in Unicode form (NFC), white
space, zero-width characters, or as `1.0` and `1`. `look_alikes` finds labels that a reader may
confuse, which differ in case, compatibility forms (NFKC), separators, punctuation around them, or
letters of another script.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

# zero-width and meaningless: breaks, joins, direction, invisible operators, soft hyphen
_INVISIBLE = dict.fromkeys(
    [
        *(0x00AD, 0x034F, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0xFEFF),
        *(*range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070)),
    ]
)
# joiners, which have a meaning in Persian, Indic scripts and emoji, but not beside Latin letters
_JOINERS = re.compile("[\u200c\u200d]+")
_INTEGER = re.compile(r"([+-]?[0-9]+)\.0*")
_LETTER, _SEPARATORS = r"[^\W\d_]", r"[-_ ]"
_SEPARATED = re.compile(f"(?<={_LETTER}){_SEPARATORS}+(?={_LETTER})")
_NUMBERED = re.compile(rf"(?<={_LETTER}){_SEPARATORS}(?=\d)")
_DRAWN_ALIKE = str.maketrans(
    "‘’‚‛ʼ′`´“”„‟″«»‹›‐‑‒–—−",
    "''''''''\"\"\"\"\"\"\"''------",
)
_QUOTES = "'\""
_STOPS = ".,;:!?"
_LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοϲϳν",
    "ABESIJKMHOPCTYXaesijopcyxqw" + "ABEZHIKMNOPTYXocjv",
)


def tidy(text: str) -> str:
    """Text in NFC, with single spaces and without zero-width characters.

    >>> tidy(" not\\u00a0 sp\\u200bam ")
    'not spam'
    """
    before = None
    while text != before:  # removing a joiner may let its neighbours compose
        before = text
        text = " ".join(text.split())
        if not text.isascii():
            text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
            text = _JOINERS.sub(_needed_joiners, text)
    return text


def normal(text: str) -> str:
    """The normal form that all spellings of one label share.

    >>> normal("1.0"), normal("1."), normal("1.10"), normal("01"), normal("-0.0")
    ('1', '1', '1.10', '01', '0')
    """
    text = tidy(text)
    if number := _INTEGER.fullmatch(text):
        text = number[1]
    return "0" if text == "-0" else text


def look_alikes(labels: Iterable[str]) -> list[list[str]]:
    """Groups of two or more labels that look alike, each in the order of `labels`.

    >>> look_alikes(["Spam", "ham", "spam", "C", "C++", "-1", "1", ".5", "5"])
    [['Spam', 'spam']]
    """
    groups: dict[str, list[str]] = {}  # key → the group, which several keys share
    for label in labels:
        keys = _keys(label)
        matching = {id(groups[key]): groups[key] for key in keys if key in groups}
        merged = [*(member for group in matching.values() for member in group), label]
        keys |= {key for group in matching.values() for member in group for key in _keys(member)}
        for key in keys:
            groups[key] = merged
    order: defaultdict[int, list[str]] = defaultdict(list)
    for group in groups.values():
        order[id(group)] = group
    return [group for group in order.values() if len(group) > 1]


def quoted(label: str, group: Iterable[str]) -> str:
    """A label in quotes, with escapes if another one of the group looks the same in print."""
    twins = sum(_drawn(label) == _drawn(other) for other in group)
    return ascii(label) if twins > 1 else repr(label)


def _drawn(label: str) -> str:
    text = unicodedata.normalize("NFKC", label.translate(_LATIN))
    return _joined_letters("".join(filter(_seen, text)))


def _needed_joiners(match: re.Match[str]) -> str:
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return "" if any(map(_latin, (before, after))) else match[0]


def _latin(neighbour: str) -> bool:
    return neighbour.isascii() or unicodedata.name(neighbour, "").startswith("LATIN ")


def _keys(label: str) -> set[str]:
    """Two labels look alike if they share a key: folded, or folded with Latin look-alikes."""
    return {_folded(label), _folded(label.translate(_LATIN))}


def _folded(label: str) -> str:
    # twice, since case folding can undo normalization
    for _ in range(2):
        label = unicodedata.normalize("NFKC", label.translate(_DRAWN_ALIKE)).casefold()
    text = "".join(character for character in label.translate(_DRAWN_ALIKE) if _seen(character))
    text = _joined_letters(" ".join(text.split()))
    while (bare := _bare(text)) != text:
        text = bare
    return _NUMBERED.sub(" ", _SEPARATED.sub("", text)) or label


def _seen(character: str) -> bool:
    """Whether it is neither a variation selector nor a control character."""
    if "\ufe00" <= character <= "\ufe0f":
        return False
    return character.isspace() or unicodedata.category(character) != "Cc"


def _joined_letters(text: str) -> str:
    """Without joiners after letters and their marks; those of emoji are kept."""
    return re.sub("(?<=\\w)[\u200c\u200d]", "", text)


def _bare(text: str) -> str:
    """Without quotes and punctuation around it, unless they belong to it.

    They do in `.5`, `:D`, `;)`, `!spam` and `5'`.
    """
    if len(text) > 2 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text[1:-1].strip()
    core = text.rstrip(_STOPS + " ")
    if core and (_of_word(core[-1]) or core[-1] in _QUOTES):
        text = core
    if text.endswith(tuple(_QUOTES)) and text[-2:-1].isalpha():
        text = text[:-1]
    core = text.lstrip(".,;:? ")
    if core[:1].isalpha() and _of_word(core[1:2] or " "):
        text = core
    if text.startswith(tuple(_QUOTES)) and text[1:2].isalpha():
        text = text[1:]
    return text


def _of_word(character: str) -> bool:
    """Whether it is a letter, a combining mark, or a digit."""
    return unicodedata.category(character)[0] in "LMN"
