"""The Trainer, with what this project adds to its steps."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer as LibraryTrainer

from tunebench.errors import Diverged
from tunebench.training import flops
from tunebench.training.sharing import EvenBatches


class Trainer(LibraryTrainer):  # type: ignore[misc]
    """Stops at the first loss that is no number, which the library's own passes over.

    Its training rows are `sharing.Rows`. `counted` are the model's trainable and all weights.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.counted = flops.parameters(self.model)  # now: later each process may hold a part

    def train(self, *given: Any, **named: Any) -> Any:
        """As the library's.

        Raises:
            Diverged: with the step and its learning rate.
        """
        output = super().train(*given, **named)
        trained = (weight for weight in self.model.parameters() if weight.requires_grad)
        if not all(bool(weight.isfinite().all()) for weight in trained):  # after the last loss
            rates = [entry["learning_rate"] for entry in self.state.log_history if "loss" in entry]
            raise Diverged(self.state.global_step, rates[-1])
        return output

    def get_train_dataloader(self) -> Any:
        """As the library's, with no row seen twice where several processes share them out."""
        loader = super().get_train_dataloader()
        if self.args.world_size > 1:
            shard = loader.batch_sampler  # accelerate's own, which gives each process its batches
            shard.batch_sampler = EvenBatches(
                shard.batch_sampler, rows=len(self.train_dataset), processes=self.args.world_size
            )
        return loader

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        """One forward and backward pass."""
        loss: torch.Tensor = super().training_step(*given, **named)
        if not bool(loss.isfinite()):
            raise Diverged(self.state.global_step + 1, self._get_learning_rate())
        return loss
