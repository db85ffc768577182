"""How the requests of one data set are answered while they are timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunebench.config.options import Options
from tunebench.config.schema import Params

GREEDY: Options = {"do_sample": False}


@dataclass(frozen=True)
class TimedAnswers:
    """Labels that are scored, or texts that are generated; the other's settings are None.

    It holds no more than what can change a timing: `check` writes it for DVC to track.
    """

    label_end: Literal["where_needed", "always", "never"] | None
    generation: Options | None

    @classmethod
    def of(cls, params: Params, dataset: str) -> TimedAnswers:
        """As the evaluation answers them; texts of a fixed length are greedy."""
        definition = params.dataset(dataset)
        if definition.task == "classification" and params.evaluation.mode == "score":
            return cls(params.evaluation.label_end, None)
        own_length = params.inference.new_tokens is None
        return cls(None, params.generation_for(definition) if own_length else GREEDY)
