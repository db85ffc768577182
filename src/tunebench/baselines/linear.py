"""Logistic regression on TF-IDF: in seconds what a tuned model has to beat."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tunebench import results
from tunebench.baselines.examples import NEVER, Answer, Examples, chosen_label
from tunebench.baselines.features import PARTS, Matrix, Part, joined
from tunebench.config.baselines import LinearMethod

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL, WEIGHTS = "model.json", "model.safetensors"
FOLDS = 3
ROWS = 5_000  # of the training rows, for cross-validation: 20 fits of 25,000 would take minutes
MAX_ITERATIONS = 1_000


@dataclass(frozen=True)
class Linear:
    """Weights (labels × features) and an intercept for each label.

    `scores` is the log-likelihood of each C in cross-validation; empty where there was nothing to
    choose.
    """

    parts: list[Part]
    labels: list[str]
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    C: float
    scores: dict[str, float]

    @property
    def parameters(self) -> int:
        """Weights and intercepts; of two labels one has neither."""
        free = len(self.labels) if len(self.labels) > 2 else len(self.labels) - 1
        return free * (int(self.weights.shape[1]) + 1)

    @property
    def chosen(self) -> dict[str, Any]:
        """C, with the log-likelihood of each that was tried."""
        by_c = {"log_likelihood_by_C": self.scores} if self.scores else {}
        return {"C": self.C, **by_c, "features": self.weights.shape[1]}

    @classmethod
    def fit(cls, settings: LinearMethod, training: Examples, validation: Examples) -> Self:
        """Choose C by stratified cross-validation on training rows, then fit all of them.

        Features are those of all training texts; without one, or with one label, the answer is that
        of `majority`.
        """
        import numpy as np

        del validation  # cross-validation chooses
        fitted = [Part.fitted(kind, training.texts, settings) for kind in PARTS]
        parts, columns = map(list, zip(*fitted, strict=True))
        matrix = joined(columns)
        labels, targets = np.unique(training.targets, return_inverse=True)
        candidates = sorted(set(settings.C))
        scores = _cross_validated(matrix, targets, candidates)
        best = max(scores, key=lambda c: (scores[c], -c)) if scores else candidates[0]
        weights, intercepts = _fitted(matrix, targets, best)
        return cls(
            parts,
            labels.tolist(),
            np.ascontiguousarray(weights, np.float32),  # safetensors writes memory as it lies
            intercepts.astype(np.float32),
            best,
            {f"{c:g}": results.rounded(score) for c, score in scores.items()},
        )

    def answer(self, texts: Sequence[str], labels: Sequence[str]) -> list[Answer]:
        """The likeliest label of each text."""
        import numpy as np
        from scipy.special import softmax

        matrix = joined([part.of(texts) for part in self.parts])
        logits = matrix @ self.weights.T.astype(np.float64) + self.intercepts
        return [
            chosen_label(dict(zip(self.labels, row, strict=True)), labels)
            for row in softmax(logits, axis=1).tolist()
        ]

    def save(self, folder: Path) -> None:
        """Write names, labels and choices as JSON, numbers as safetensors."""
        from safetensors.numpy import save_file

        content = {
            "settings": self.parts[0].settings.model_dump(),
            "labels": self.labels,
            "C": self.C,
            "scores": self.scores,
            "features": {part.kind: part.names for part in self.parts},
        }
        results.write(folder / MODEL, content)
        tensors = {f"idf.{part.kind}": part.idf for part in self.parts}
        tensors |= {"weights": self.weights, "intercepts": self.intercepts}
        save_file(tensors, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them."""
        from safetensors.numpy import load_file

        content, tensors = results.read(folder / MODEL), load_file(folder / WEIGHTS)
        settings = LinearMethod.model_validate(content["settings"])
        return cls(
            [
                Part(kind, settings, content["features"][kind], tensors[f"idf.{kind}"])
                for kind in PARTS
            ],
            content["labels"],
            tensors["weights"],
            tensors["intercepts"],
            content["C"],
            content["scores"],
        )


def _cross_validated(
    matrix: Matrix, targets: NDArray[np.intp], candidates: Sequence[float]
) -> dict[float, float]:
    """C → mean log-likelihood (nats) of the right labels on held-out folds.

    The first rows are taken, which are a stratified sample. Empty where there is one C only, or no
    label that has two rows.
    """
    import numpy as np
    from scipy.special import log_softmax
    from sklearn.model_selection import StratifiedKFold

    matrix, targets = matrix[:ROWS], targets[:ROWS]
    folds = min(FOLDS, max(Counter(targets.tolist()).values()))
    if len(candidates) < 2 or folds < 2 or len(set(targets.tolist())) < 2:
        return {}
    likelihoods = dict.fromkeys(candidates, 0.0)
    with warnings.catch_warnings(action="ignore"):  # that a label has fewer rows than folds
        splits = list(StratifiedKFold(folds).split(targets, targets))
    for train, held_out in splits:
        for c in candidates:
            weights, intercepts = _fitted(matrix[train], targets[train], c)
            logits = matrix[held_out] @ weights.T + intercepts
            known = np.full((len(held_out), targets.max() + 1), NEVER)
            known[:, np.unique(targets[train])] = log_softmax(logits, axis=1)
            likelihoods[c] += known[np.arange(len(held_out)), targets[held_out]].sum()
    return {c: float(total) / len(targets) for c, total in likelihoods.items()}


def _fitted(
    matrix: Matrix, targets: NDArray[np.intp], c: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights and intercepts for each label that occurs, in ascending order."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    occurring, counts = np.unique(targets, return_counts=True)
    if len(occurring) < 2 or not matrix.nnz:
        return np.zeros((len(occurring), matrix.shape[1])), np.log(counts / counts.sum())
    model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS)
    with threadpool_limits(1):  # two threads take 20 times as long where others use the cores too
        model.fit(matrix, targets)
    weights, intercepts = model.coef_, model.intercept_
    if len(occurring) == 2:  # scikit-learn has the second label's alone
        weights = np.vstack([np.zeros_like(weights), weights])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    return weights, intercepts
