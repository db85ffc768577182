"""Words and sentences of any script, by Unicode character properties."""

from __future__ import annotations

from unicodedata import normalize

import regex  # type: ignore[import-untyped]

# Letters of scripts without spaces between words: Han, kana, and UAX #14's class SA (Thai, Lao,
# Khmer, Myanmar). Not Korean, which has spaces, nor Tibetan, which separates syllables.
_UNSPACED = (
    r"[[\p{Ideographic}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー\p{LB=SA}]&&\p{L}]"
)
_SPACED = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
_WORD = rf"(?={_UNSPACED})\X\p{{M}}*+|{_SPACED}(?:{_SPACED}|\p{{M}})*+"
_WORDS = regex.compile(_WORD, regex.V1)
_SYMBOLS = regex.compile(rf"{_WORD}|(?=\S)\X", regex.V1)
_CHARACTER = regex.compile(_UNSPACED, regex.V1)
# all but the tags that distinguish flags (England's from Scotland's)
_IGNORABLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--[\U000E0020-\U000E007F]]", regex.V1)
# the zero-width space, and the apostrophe of Ukrainian, which Unicode counts as a letter
_PARTING = str.maketrans("\u200bʼ", "  ")
# NFKC decomposes these two vowels (Thai, Lao), which would split a character
_AM = {"\u0e4d\u0e32": "\u0e33", "\u0ecd\u0eb2": "\u0eb3"}

# Where a sentence ends (UAX #29, SB6 to SB11). A mark that can occur within one, as in "3.14", ends
# it only before white space, and not if a lower-case letter comes next.
_END = regex.compile(
    r"""
    [.!?…‥]+ [\p{SB=Close}]* (?=\s) (?! \s+ [^\p{L}\p{N}\r\n]* \p{Ll} )
    | [\p{SB=STerm}--[!?]] [\p{SB=STerm}.…]* [\p{Pe}\p{Pf}"']*
    | ．(?!\p{N}) [\p{Pe}\p{Pf}"']*
    """,
    regex.V1 | regex.VERBOSE,
)


def fold(text: str) -> str:
    """A text without case, compatibility forms and invisible characters (NFKC_Casefold).

    >>> fold("Straße") == fold("ＳＴＲＡＳＳＥ")
    True
    """
    return normalize("NFKC", normalize("NFKC", _IGNORABLE.sub("", text)).casefold())


def words(text: str) -> list[str]:
    """Runs of letters, marks and digits, folded; single characters in scripts without spaces.

    In English these are the tokens of rouge-score: apostrophes, hyphens and points separate words.

    >>> words("Schön, AI技術!")
    ['schön', 'ai', '技', '術']
    """
    tokens: list[str] = _WORDS.findall(_folded(text))
    return tokens


def words_and_symbols(text: str) -> list[str]:
    """`words`, and every other character except white space.

    >>> words_and_symbols("ok 👍!")
    ['ok', '👍', '!']
    """
    tokens: list[str] = _SYMBOLS.findall(_folded(text))
    return tokens


def words_as_written(text: str) -> list[str]:
    """`words` without folding."""
    tokens: list[str] = _WORDS.findall(text)
    return tokens


def is_unspaced(word: str) -> bool:
    """Whether a word is a single character of a script without spaces."""
    return _CHARACTER.match(word) is not None


def sentences(text: str) -> list[str]:
    """A text's sentences; each of its lines starts a new one.

    They are split by punctuation only: an abbreviation or initial before a capital ("Dr. Who", "J.
    Smith") ends a sentence here, and Thai, which has no such punctuation, is not split.

    >>> sentences("It costs 3.14 euros. “Really?” she asked.")
    ['It costs 3.14 euros.', '“Really?” she asked.']
    """
    lines = _END.sub(r"\g<0>\n", text).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = fold(text.translate(_PARTING))
    for parts, whole in _AM.items():
        folded = folded.replace(parts, whole)
    return folded
