"""The kinds of baseline: a new one is a file of this room, its settings in `config.baselines`,
and a line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunebench.baselines.examples import Baseline, Examples
from tunebench.baselines.lead import Lead
from tunebench.baselines.linear import Linear
from tunebench.baselines.majority import Majority
from tunebench.config.baselines import BaselineMethod

KINDS: dict[str, type[Baseline[Any]]] = {"majority": Majority, "linear": Linear, "lead": Lead}


def fit(settings: BaselineMethod, training: Examples, validation: Examples) -> Baseline[Any]:
    """The baseline that settings describe, learnt from some rows."""
    return KINDS[settings.kind].fit(settings, training, validation)


def load(settings: BaselineMethod, folder: Path) -> Baseline[Any]:
    """The baseline that an earlier run wrote."""
    return KINDS[settings.kind].load(folder)
