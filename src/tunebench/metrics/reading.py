"""Reading a label from a generated text."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from unicodedata import decimal, normalize

import regex  # type: ignore[import-untyped]

from tunebench.metrics.words import fold

# dashes that stand for a hyphen or a minus sign; an em dash does not
_SAME = str.maketrans(dict.fromkeys("‐‒–−", "-") | dict.fromkeys("‘’‛ʼ", "'"))
# quotes, brackets and sentence punctuation around an answer
_AROUND = r"\s\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Terminal_Punctuation}\"'`´¿¡"
_EDGES = regex.compile(
    rf"^(?:(?![.,]+\d)[{_AROUND}])+|(?<![{_AROUND}])[{_AROUND}]+\Z"
)  # the point of .5 is kept
_EMPHASIS = regex.compile(r"^(\*{1,3}|_{1,3})(.+)\1\Z")
_BULLET = regex.compile(rf"^(?:(?:[-+>—•‣◦●▪·]|\#{{1,6}})\s(?=[{_AROUND}*_]*\p{{L}})|\*+)")
_SEPARATOR = regex.compile(r"(?<=[\p{L}\p{M}])(?: - | ?[_./] ?|-| )(?=\p{L})")
_NUMBER = regex.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def match(text: str, labels: Sequence[str]) -> tuple[str | None, bool]:
    """The label that a generated text names (None if it names none), and whether it does exactly.

    The text's first line counts. If it is not exactly a label, these differences are ignored: case,
    compatibility forms and white space; quotes, brackets, emphasis and sentence punctuation around
    it; a list bullet before a letter; which of hyphen, underscore, point, slash and space separates
    letters. All others count: signs, points within numbers, symbols, diacritics. Numbers of equal
    value ("1", "+1.0") are read as the label of that value. An ambiguous text names no label.

    >>> match("**Sci Fi.**", ["sci-fi", "news"]), match("-2", ["2", "1"])
    (('sci-fi', False), (None, False))
    """
    stripped = text.strip()
    line = stripped.split("\n", 1)[0].strip()
    for written in (text, stripped, line):
        if written in labels:
            return written, True
    for key_of in (_form, _value):
        key = key_of(line)
        matches = [label for label in labels if key is not None and key_of(label) == key]
        if matches:
            return (matches[0], False) if len(matches) == 1 else (None, False)
    return None, False


@lru_cache(maxsize=4096)
def _form(text: str) -> str | None:
    """The normalized text by which labels are compared; None if nothing is left."""
    text = normalize("NFC", "".join(map(_plain, text))).translate(_SAME)
    form, before = " ".join(text.split()), ""
    while form != before:
        before = form
        form = _BULLET.sub("", _EMPHASIS.sub(r"\2", _EDGES.sub("", form)))
    return _SEPARATOR.sub(" ", form) or None


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """A character folded, with digits of any script as 0 to 9.

    A character that contains a digit but is not a plain one (², ½, ①) is kept: 2² is not 22.
    """
    if character.isdecimal():
        return str(decimal(character))
    plain = fold(character)
    return character if any(map(str.isdigit, plain)) else plain


def _value(text: str) -> Decimal | None:
    """The number that a text is; None if it is none."""
    form = _form(text)
    return Decimal(form) if form and _NUMBER.fullmatch(form) else None
