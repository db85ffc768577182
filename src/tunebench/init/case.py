"""All that a proposal is made from."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.config.schema import Params
from tunebench.init.answers import Answers
from tunebench.init.audit import Audit
from tunebench.init.columns import Roles
from tunebench.init.lengths import Base
from tunebench.init.machine import Machine


@dataclass(frozen=True)
class Case:
    """params.yaml as it is, what the options decide, what was found, the model and the machine."""

    params: Params
    answers: Answers
    roles: Roles
    found: Audit
    model: Base
    machine: Machine

    @property
    def dtype(self) -> str:
        """The precision that the model runs in."""
        return self.params.models[self.model.name].dtype
