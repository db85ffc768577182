"""The Trainer, with what this project adds to its steps."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer as LibraryTrainer

from tunebench.errors import Diverged
from tunebench.training import recording


class Trainer(LibraryTrainer):  # type: ignore[misc]
    """Stops at the first loss that is no number, which the library's own passes over."""

    def train(self, *given: Any, **named: Any) -> Any:
        """As the library's.

        Raises:
            Diverged: with the step and its learning rate.
        """
        output = super().train(*given, **named)
        trained = (weight for weight in self.model.parameters() if weight.requires_grad)
        if not all(bool(weight.isfinite().all()) for weight in trained):  # after the last loss
            raise Diverged(self.state.global_step, recording.last_learning_rate(self))
        return output

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        """One forward and backward pass."""
        loss: torch.Tensor = super().training_step(*given, **named)
        if not bool(loss.isfinite()):
            raise Diverged(self.state.global_step + 1, self._get_learning_rate())
        return loss
