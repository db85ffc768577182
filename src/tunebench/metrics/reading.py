"""Reading a label in what a model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from unicodedata import decimal, normalize

import regex  # type: ignore[import-untyped]

from tunebench.metrics.words import fold

# dashes that are written for a hyphen or a minus sign; an em dash is neither
_SAME = str.maketrans(dict.fromkeys("‐‒–−", "-") | dict.fromkeys("‘’‛ʼ", "'"))
# quotes, brackets and the punctuation of sentences: what stands around an answer and is none of it
_AROUND = r"\s\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Terminal_Punctuation}\"'`´¿¡"
_EDGES = regex.compile(
    rf"^(?:(?![.,]+\d)[{_AROUND}])+|(?<![{_AROUND}])[{_AROUND}]+\Z"
)  # .5 is no 5
_EMPHASIS = regex.compile(r"^(\*{1,3}|_{1,3})(.+)\1\Z")
_BULLET = regex.compile(rf"^(?:(?:[-+>—•‣◦●▪·]|\#{{1,6}})\s(?=[{_AROUND}*_]*\p{{L}})|\*+)")
_SEPARATOR = regex.compile(r"(?<=[\p{L}\p{M}])(?: - | ?[_./] ?|-| )(?=\p{L})")
_NUMBER = regex.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def match(text: str, labels: Sequence[str]) -> tuple[str | None, bool]:
    """The label that a written text is, and whether it is so to the letter.

    The text's first line counts. Where it is no label to the letter, these make no difference:
    case, compatibility forms and white space; quotes, brackets, emphasis and the punctuation of a
    sentence around it; a list bullet before a letter; which of hyphen, underscore, point, slash and
    space stands between letters. All else does: signs, points within numbers, symbols, marks on
    letters. Numbers of one value ("1", "+1.0") are read as the one label of that value. What could
    be two labels is none.

    >>> match("**Sci Fi.**", ["sci-fi", "news"]), match("-2", ["2", "1"])
    (('sci-fi', False), (None, False))
    """
    stripped = text.strip()
    line = stripped.split("\n", 1)[0].strip()
    for written in (text, stripped, line):
        if written in labels:
            return written, True
    for read in (_form, _value):
        wanted = read(line)
        alike = [label for label in labels if wanted is not None and read(label) == wanted]
        if alike:
            return (alike[0], False) if len(alike) == 1 else (None, False)
    return None, False


@lru_cache(maxsize=4096)
def _form(text: str) -> str | None:
    """What of a text tells labels apart, or None where that is nothing."""
    text = normalize("NFC", "".join(map(_plain, text))).translate(_SAME)
    form, before = " ".join(text.split()), ""
    while form != before:
        before = form
        form = _BULLET.sub("", _EMPHASIS.sub(r"\2", _EDGES.sub("", form)))
    return _SEPARATOR.sub(" ", form) or None


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """A character folded, and a digit of any script as 0 to 9.

    One that stands for a digit and more than that (², ½, ①) stays: 2² is not 22.
    """
    if character.isdecimal():
        return str(decimal(character))
    plain = fold(character)
    return character if any(map(str.isdigit, plain)) else plain


def _value(text: str) -> Decimal | None:
    """The number that a text is."""
    form = _form(text)
    return Decimal(form) if form and _NUMBER.fullmatch(form) else None
