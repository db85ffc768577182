"""What the stage `check` writes: the source of each data set and model, and settings for stages.

DVC cannot track keys that params.yaml lacks, so stages depend on these files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.config.timed import TimedAnswers
from tunebench.data import checking


def files(params: Params) -> dict[Path, Mapping[str, Any]]:
    """The content of each file, by its path.

    Raises:
        ParameterError: with a line for every fault of what params.yaml names.
    """
    return {
        **{paths.check(name): source for name, source in checking.check(params).items()},
        paths.PUBLISHED: params.model_dump(include={"published"}),
        paths.COST: params.model_dump(include={"cost"}),
        paths.REPORT: params.model_dump(include={"report"}),
        paths.SERVING: params.inference.serving.model_dump(),
        paths.VIRTUAL_TOKENS: {"virtual_tokens": params.virtual_tokens},
        **{
            paths.timing_settings(name): params.inference.timing.model_dump()
            | asdict(TimedAnswers.of(params, name))
            for name in params.grid.datasets
        },
        **{
            paths.baseline_settings(name): _baselines(params, name) for name in params.grid.datasets
        },
    }


def _baselines(params: Params, name: str) -> Mapping[str, Any]:
    """What the baselines of a data set depend on; nothing where it has none."""
    methods, grid = params.baselines_for(name), params.grid
    if not methods:
        return {}
    return {
        "methods": {method: settings.model_dump() for method, settings in methods.items()},
        **params.dataset(name).model_dump(include={"test_rows", "validation_rows"}),
        **grid.model_dump(include={"train_sizes", "seeds"}),
        "inference": params.inference.timing.model_dump(),
    }


def write(params: Params, folder: Path) -> None:
    """Write them into a folder that stands for `data/check`."""
    for path, content in files(params).items():
        results.write(folder / path.relative_to(paths.CHECK), content)
