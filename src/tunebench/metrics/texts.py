"""ROUGE of generated texts, in any script."""

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

# Up to this share of words with non-ASCII letters, a test set is tokenized by rouge-score.
# SAMSum's test summaries have 0.0002 (20 of its training ones at most 0.012), IMDB 0.0004 (20
# reviews at most 0.008). By the word frequencies of wordfreq 3.1, English has 0.0006, Dutch 0.004,
# Italian 0.036, German 0.07, Spanish 0.09, French 0.13.
_STRAY = 0.01
_ASCII_WORD = re.compile("[A-Za-z0-9]+")


def rouge_tokenization(gold: Sequence[str]) -> str:
    """How a test set is tokenized: by its gold texts, so that it is the same for all methods.

    Returns:
        `rouge-score`: runs of ASCII letters and digits, if at most a few words have other letters;
        `unicode_words`, or `unicode_words_and_characters` if a script without spaces occurs
        (`words`); `unicode_words_and_symbols` if there are no words.
    """
    total = non_ascii = 0
    unspaced = False
    for text in gold:
        if text.isascii():
            total += len(_ASCII_WORD.findall(text))
        else:
            tokens = words_as_written(text)
            total += len(tokens)
            non_ascii += sum(not word.isascii() for word in tokens)
            unspaced = unspaced or any(map(is_unspaced, tokens))
    if not total:
        return "unicode_words_and_symbols"
    if non_ascii <= _STRAY * total:
        return "rouge-score"
    return "unicode_words_and_characters" if unspaced else "unicode_words"


def rouge(gold: Sequence[str], answers: Sequence[str]) -> dict[str, list[float]]:
    """F1 of ROUGE-1, -2, -L and -Lsum of each row (rouge-score, without stemming), in [0, 1].

    Texts are tokenized as `rouge_tokenization` says. A row whose gold text has no such token (a
    Chinese text among English ones, an emoji) is tokenized by `words`, or else by
    `words_and_symbols`. For Lsum each sentence is a line, as its authors define it.
    """
    main_tokenizer = _tokenizer(rouge_tokenization(gold))
    scorers = [_Scorer(tokenize) for tokenize in (main_tokenizer, words, words_and_symbols)]
    rows = []
    for right, text in zip(gold, answers, strict=True):
        scorer = next((candidate for candidate in scorers if candidate.tokenize(right)), scorers[0])
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
    """rouge-score with one tokenizer."""

    def __init__(self, tokenize: _Tokenize) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self.tokenize = lru_cache(maxsize=8)(tokenize)  # each text is tokenized several times
        *whole, by_line = ROUGE
        tokenizer = SimpleNamespace(tokenize=self.tokenize)
        self._whole = RougeScorer(whole, tokenizer=tokenizer)
        self._by_line = RougeScorer([by_line], tokenizer=tokenizer)

    def score(self, right: str, text: str) -> dict[str, float]:
        """Metric → F1."""
        scores = self._whole.score(right, text)
        lines = [sentences(part) for part in (right, text)]
        if max(map(len, lines)) > 1:
            scores |= self._by_line.score(*map("\n".join, lines))
        else:
            scores["rougeLsum"] = scores["rougeL"]  # equal for one sentence
        return {name: float(score.fmeasure) for name, score in scores.items()}
