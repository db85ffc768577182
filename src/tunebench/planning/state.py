"""The stages of a repository, and which of them would run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench import paths
from tunebench.config.schema import Params
from tunebench.planning import graph, staleness
from tunebench.planning.digests import Digests
from tunebench.planning.graph import Stage

HASHES = paths.PLAN / "digests.json"


@dataclass(frozen=True)
class State:
    """The stages of a repository, what dvc.lock holds, and why each would run that would."""

    params: Params
    stages: list[Stage]
    lock: dict[str, Any]
    stale: dict[str, str]

    @classmethod
    def of(cls, params: Params, folder: Path, *, forced: bool = False) -> State:
        """The state of the repository in this folder.

        Args:
            folder: where the files of the stage `check` are, or stand in for them.
            forced: unchanged stages would run too.

        Raises:
            SourceError: if dvc.lock is damaged.
        """
        lock = staleness.locked()
        stages = graph.stages(params)
        digests = Digests(HASHES, {str(paths.CHECK): folder})
        stale = staleness.stale(stages, digests, lock, forced=forced)
        digests.save()
        return cls(params, stages, lock, stale)

    @property
    def waiting(self) -> list[Stage]:
        """The stages that would run, in order, without `check`, which always does."""
        return [
            stage for stage in self.stages if stage.name in self.stale and stage.kind != graph.CHECK
        ]

    @property
    def downloaded(self) -> list[str]:
        """Data sets whose rows are here, as params.yaml wants them."""
        return [
            stage.run.dataset
            for stage in self.stages
            if stage.kind == "download" and stage.name not in self.stale
        ]
