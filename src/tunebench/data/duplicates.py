"""Duplicate rows, counted by hashes of their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Labels = NDArray[np.int32]


def repeated(inputs: Hashes) -> int:
    """How many rows repeat the text of an earlier row."""
    import numpy as np

    return len(inputs) - len(np.unique(inputs))


def contradictory(inputs: Hashes, labels: Labels) -> int:
    """How many texts have more than one label."""
    import numpy as np

    order = np.lexsort((labels, inputs))
    ordered, labels_in_order = inputs[order], labels[order]
    same = ordered[1:] == ordered[:-1]
    changes = ordered[1:][same & (labels_in_order[1:] != labels_in_order[:-1])]
    return len(np.unique(changes))


def occurring_in(inputs: Hashes, others: Hashes) -> NDArray[np.bool_]:
    """For each row, whether its text is one of the others."""
    import numpy as np

    return np.isin(inputs, others)
