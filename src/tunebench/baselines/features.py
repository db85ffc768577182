"""TF-IDF of the words and of the characters of texts, as scikit-learn's `TfidfVectorizer` has it.

Characters are those within words (`char_wb`), counted once for each word that occurs: 25,000
reviews take 19 s instead of some 100. In a script without spaces a word is a whole clause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunebench.config.baselines import LinearMethod

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Matrix = Any  # scipy.sparse, texts × features

# kind of feature → its weight beside the others, as in scikit-learn's FeatureUnion; at 2,500 film
# reviews, characters of half the weight bring half a point, of the same weight nothing
PARTS = {"words": 1.0, "characters": 0.5}
# on generated posts, features of one text alone bring 9 points of accuracy at 100 rows; on 250 film
# reviews they take one away
FEW_ROWS = 200


@dataclass(frozen=True)
class Part:
    """The features of one kind that training texts have, with their idf.

    `kind` is one of `PARTS`.
    """

    kind: str
    settings: LinearMethod
    names: list[str]
    idf: NDArray[np.float32]

    @classmethod
    def fitted(cls, kind: str, texts: Sequence[str], settings: LinearMethod) -> tuple[Part, Matrix]:
        """The features of training texts, and the texts' own TF-IDF."""
        vectorizer = _vectorizer(kind, settings, None)
        counts = _counts(kind, vectorizer, texts)
        names = vectorizer.get_feature_names_out() if counts.shape[1] else []
        kept, idf = _kept(counts, settings)
        part = cls(kind, settings, [str(names[index]) for index in kept], idf)
        return part, part._weighed(counts[:, kept])

    def of(self, texts: Sequence[str]) -> Matrix:
        """The TF-IDF of any texts; features that are not known are left out."""
        counts = _counts(self.kind, self._vectorizer, texts) if self.names else _none(texts)
        return self._weighed(counts)

    @cached_property
    def _vectorizer(self) -> Any:
        return _vectorizer(self.kind, self.settings, self.names)

    def _weighed(self, counts: Matrix) -> Matrix:
        """The TF-IDF of counts, each text of length 1."""
        from sklearn.feature_extraction.text import TfidfTransformer

        if 0 in counts.shape:  # which scikit-learn refuses
            return counts
        transformer = TfidfTransformer(sublinear_tf=self.settings.sublinear_tf)
        transformer.idf_ = self.idf
        return transformer.transform(counts)


def joined(columns: Sequence[Matrix]) -> Matrix:
    """The parts' columns side by side, with their weights; in the order of `PARTS`."""
    from scipy.sparse import hstack

    weights = PARTS.values()
    weighed = [weight * part for weight, part in zip(weights, columns, strict=True)]
    return hstack(weighed, format="csr")


def _vectorizer(kind: str, settings: LinearMethod, names: list[str] | None) -> Any:
    """What counts features: those with these names, or all that there are."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    options: dict[str, dict[str, Any]] = {
        "words": {"ngram_range": tuple(settings.ngram_range)},
        "characters": {"analyzer": "char_wb", "ngram_range": tuple(settings.char_ngram_range)},
    }
    return CountVectorizer(dtype=np.float64, vocabulary=names or None, **options[kind])


def _counts(kind: str, vectorizer: Any, texts: Sequence[str]) -> Matrix:
    """How often each text has each feature; without a column where there are no features."""
    if kind == "words":
        return _counted(vectorizer, texts)
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(analyzer=_split)
    table = _counted(words, texts)
    written = words.get_feature_names_out().tolist() if table.shape[1] else []
    return table @ _counted(vectorizer, written)


def _split(text: str) -> list[str]:
    return text.lower().split()


def _counted(vectorizer: Any, texts: Sequence[str]) -> Matrix:
    """What scikit-learn counts, which refuses texts without a feature."""
    from scipy.sparse import csr_matrix

    if vectorizer.vocabulary is not None:
        return vectorizer.transform(texts) if texts else csr_matrix((0, len(vectorizer.vocabulary)))
    if any(map(vectorizer.build_analyzer(), texts)):
        return vectorizer.fit_transform(texts)
    return _none(texts)


def _none(texts: Sequence[str]) -> Matrix:
    """Texts without a feature."""
    from scipy.sparse import csr_matrix

    return csr_matrix((len(texts), 0))


def _kept(counts: Matrix, settings: LinearMethod) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The features that are left by `min_df` and `max_features`, and their idf.

    Where `min_df` would leave none, all are kept.
    """
    import numpy as np

    rows = counts.shape[0]
    texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
    min_df = settings.min_df
    if min_df is None:
        min_df = 1 if rows < FEW_ROWS else 2
    least = min_df if isinstance(min_df, int) else min_df * rows
    kept = np.flatnonzero(texts_with >= least)
    if not len(kept):
        kept = np.arange(counts.shape[1])
    if settings.max_features is not None and settings.max_features < len(kept):
        total = np.asarray(counts.sum(axis=0)).ravel()[kept]
        commonest = np.argsort(-total, kind="stable")[: settings.max_features]
        kept = kept[np.sort(commonest)]
    idf = np.log((1 + rows) / (1 + texts_with[kept])) + 1
    return kept, idf.astype(np.float32)
