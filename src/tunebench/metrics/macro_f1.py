"""The 95% interval of macro-averaged F1.

Each label's F1 is 2J / (1 + J), where J is the share of right rows among the rows that have the
label or are answered with it: a proportion, whose exact interval (Clopper & Pearson 1934) is no
point where all are right. The labels' intervals are combined as squares (MOVER, Zou & Donner 2008),
and widened since an error counts against two labels. The mean of many labels with few rows is
biased besides, by an amount that the bootstrap shows (Efron 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from tunebench.metrics import statistics
from tunebench.metrics.statistics import DRAWS, SEED, TAIL, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# the interval covers less than it says where the labels have fewer test rows, on average
ROWS_PER_LABEL = 10


def interval(gold: Sequence[str], answers: Sequence[str | None]) -> Interval:
    """The interval of macro-F1 over the labels that occur, which always holds macro-F1 itself.

    It is the smallest that holds the labels' combined intervals, the same corrected for the bias
    that the bootstrap shows, and the middle 95% of the bootstrap.

    Args:
        answers: None if an answer names no label.

    Raises:
        ValueError: if there are no rows, or not one answer for each gold label.
    """
    import numpy as np

    if len(gold) != len(answers) or not gold:
        raise ValueError(f"{len(gold)} gold labels and {len(answers)} answers")
    cells, counts = _confusion(gold, answers)
    observed = float(_of_counts(counts[None], cells)[0])
    below, above = _combined(cells, counts)
    drawn = np.random.default_rng(SEED).multinomial(len(gold), counts / len(gold), size=DRAWS)
    draws = _of_counts(drawn, cells)
    low, high = statistics.middle(draws)
    bias = float(draws.mean()) - observed
    return (
        max(0.0, min(low, observed - below - max(bias, 0))),
        min(1.0, max(high, observed + above - min(bias, 0))),
    )


def _combined(
    cells: tuple[NDArray[np.int64], NDArray[np.int64]], counts: NDArray[np.int64]
) -> tuple[float, float]:
    """How far the interval reaches below and above macro-F1, from those of the labels."""
    import numpy as np
    from scipy.stats import beta

    gold, answered = cells
    hits = counts @ (gold * answered)
    rows = counts @ np.maximum(gold, answered)  # that have the label or are answered with it
    f1 = 2 * hits / (hits + rows)
    with np.errstate(invalid="ignore"):
        low = np.where(hits > 0, beta.ppf(TAIL, hits, rows - hits + 1), 0)
        high = np.where(hits < rows, beta.ppf(1 - TAIL, hits + 1, rows - hits), 1)
    below, above = f1 - 2 * low / (1 + low), 2 * high / (1 + high) - f1
    widened = sqrt(_shared_errors(cells, counts)) / len(f1)
    return widened * float(np.linalg.norm(below)), widened * float(np.linalg.norm(above))


def _shared_errors(
    cells: tuple[NDArray[np.int64], NDArray[np.int64]], counts: NDArray[np.int64]
) -> float:
    """The variance of the sum of the labels' F1 over the sum of their variances, from 1 to 2.

    By the delta method: each row's influence on each label's F1. A row that is answered with the
    wrong label lowers two labels' F1, one without an answer only one. 2 if there are no errors.
    """
    import numpy as np

    gold, answered = cells
    share = counts / counts.sum()
    seen = share @ (gold + answered)
    f1 = 2 * (share @ (gold * answered)) / seen
    influence = (2 * gold * answered - f1 * (gold + answered)) / seen  # cells × labels
    apart = float((share @ influence**2 - (share @ influence) ** 2).sum())
    summed = influence.sum(axis=1)
    together = float(share @ summed**2 - (share @ summed) ** 2)
    return min(2.0, max(1.0, together / apart)) if apart > np.finfo(float).eps else 2.0


def _confusion(
    gold: Sequence[str], answers: Sequence[str | None]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]:
    """The nonzero cells of the confusion matrix, and their counts.

    Cells are gold labels and answers, each cells × labels, one-hot; an answer that is None is all
    zeros. Each label is the gold label or the answer of some row.
    """
    import numpy as np

    labels = sorted({*gold, *(answer for answer in answers if answer is not None)})
    index_of: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
    index_of[None] = len(labels)
    rows = np.array(
        [
            (index_of[right], index_of[answered])
            for right, answered in zip(gold, answers, strict=True)
        ]
    )
    cells, counts = np.unique(rows, axis=0, return_counts=True)
    one_hot = np.eye(len(labels) + 1, len(labels), dtype=np.int64)
    return (one_hot[cells[:, 0]], one_hot[cells[:, 1]]), counts


def _of_counts(
    drawn: NDArray[np.int64], cells: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Macro-F1 of each draw, from its counts: draws × cells.

    It is the mean over the labels that occur in the draw (scikit-learn's zero_division=nan).
    """
    import numpy as np

    gold, answered = cells
    hits = drawn @ (gold * answered)  # draws × labels
    seen = drawn @ (gold + answered)  # gold and answers that name the label
    f1 = 2 * hits / np.maximum(seen, 1)
    macro: NDArray[np.float64] = f1.sum(1) / (seen > 0).sum(1)
    return macro
