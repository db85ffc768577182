"""Written texts: ROUGE, in any script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import SimpleNamespace

from tunebench.metrics.words import (
    is_unspaced,
    sentences,
    words,
    words_and_symbols,
    words_as_written,
)

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")

# Up to this share of words with letters beyond ASCII, a test set is read as rouge-score reads it.
# SAMSum's test summaries have 0.0002 (20 of its training ones at most 0.012), IMDB 0.0004 (20
# reviews at most 0.008). By the word frequencies of wordfreq 3.1, English has 0.0006, Dutch 0.004,
# Italian 0.036, German 0.07, Spanish 0.09, French 0.13.
_STRAY = 0.01
_ASCII_WORD = re.compile("[A-Za-z0-9]+")


def rouge_tokenization(gold: Sequence[str]) -> str:
    """How a test set's texts become tokens. Its gold texts decide, so all methods are read alike.

    Returns:
        `rouge-score`: runs of ASCII letters and digits, where no more than a stray word has others;
        `unicode_words`, and `unicode_words_and_characters` where they have characters of scripts
        without spaces (`words`); `unicode_words_and_symbols` where they have no word at all.
    """
    total = beyond = 0
    unspaced = False
    for text in gold:
        if text.isascii():
            total += len(_ASCII_WORD.findall(text))
        else:
            found = words_as_written(text)
            total += len(found)
            beyond += sum(not word.isascii() for word in found)
            unspaced = unspaced or any(map(is_unspaced, found))
    if not total:
        return "unicode_words_and_symbols"
    if beyond <= _STRAY * total:
        return "rouge-score"
    return "unicode_words_and_characters" if unspaced else "unicode_words"


def rouge(gold: Sequence[str], answers: Sequence[str]) -> dict[str, list[float]]:
    """F1 of ROUGE-1, -2, -L and -Lsum of each row (rouge-score, without stemming), in [0, 1].

    Tokens are those of `rouge_tokenization`. A row whose gold text has none of them (Chinese among
    English ones, an emoji alone) is read by `words`, or else by `words_and_symbols`. Lsum alone
    sees each of the texts' `sentences` on a line of its own, as its authors have it.
    """
    named = _tokenizer(rouge_tokenization(gold))
    scorers = [_Scorer(tokenize) for tokenize in (named, words, words_and_symbols)]
    rows = []
    for right, text in zip(gold, answers, strict=True):
        scorer = next((each for each in scorers if each.tokenize(right)), scorers[0])
        rows.append(scorer.score(right, text))
    return {name: [row[name] for row in rows] for name in ROUGE}


_Tokenize = Callable[[str], list[str]]


def _tokenizer(name: str) -> _Tokenize:
    if name == "rouge-score":
        from rouge_score.tokenizers import DefaultTokenizer

        default: _Tokenize = DefaultTokenizer().tokenize
        return default
    return words_and_symbols if name == "unicode_words_and_symbols" else words


class _Scorer:
    """rouge-score over tokens of one kind."""

    def __init__(self, tokenize: _Tokenize) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self.tokenize = lru_cache(maxsize=8)(tokenize)  # a text is asked for several times in a row
        *whole, by_line = ROUGE
        tokenizer = SimpleNamespace(tokenize=self.tokenize)
        self._whole = RougeScorer(whole, tokenizer=tokenizer)
        self._by_line = RougeScorer([by_line], tokenizer=tokenizer)

    def score(self, right: str, text: str) -> dict[str, float]:
        """Metric → F1."""
        scores = self._whole.score(right, text)
        lines = [sentences(each) for each in (right, text)]
        if max(map(len, lines)) > 1:
            scores |= self._by_line.score(*map("\n".join, lines))
        else:
            scores["rougeLsum"] = scores["rougeL"]  # what it is, in less time
        return {name: float(score.fmeasure) for name, score in scores.items()}
