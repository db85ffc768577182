"""transformers.Trainer, with batches of similar length and logits only for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers

from tunebench.errors import Diverged
from tunebench.prompts.batching import LengthWindows
from tunebench.training import flops
from tunebench.training.logits import LabelledLogits, without_mask
from tunebench.training.sharding import EvenBatches

if TYPE_CHECKING:
    import torch


class Trainer(transformers.Trainer):  # type: ignore[misc]
    """transformers.Trainer for `sharding.Rows`, in batches by `batching.Collator`.

    It stops at the first NaN loss, which the library ignores. `weights` counts the
    model's.

    Args:
        by_length: draw batches from windows sorted by length, instead of by
            `train_sampling_strategy`.
        labelled: computes the loss without prompt tokens' logits; None for the model's own loss.
        save_dtype: the dtype in which a full model is saved; its weights are float32 in training.
    """

    def __init__(
        self,
        *,
        by_length: bool,
        labelled: LabelledLogits | None,
        save_dtype: str | None,
        **options: Any,
    ) -> None:
        self._by_length = by_length
        self._labelled = labelled
        self.save_dtype = save_dtype
        super().__init__(compute_loss_func=labelled.loss if labelled else None, **options)
        self.weights = flops.Weights.of(self.model)  # before they may be sharded

    def train(self, *arguments: Any, **options: Any) -> Any:
        """As the library's.

        Raises:
            Diverged: at the first NaN loss, or if the last update left NaN weights.
        """
        output = super().train(*arguments, **options)
        trained = (weight for weight in self.model.parameters() if weight.requires_grad)
        if not all(bool(weight.isfinite().all()) for weight in trained):  # by the last update
            raise Diverged(self.state.global_step, self.last_learning_rate())
        return output

    def last_learning_rate(self) -> float:
        """The learning rate of the last logged step."""
        rates = [entry["learning_rate"] for entry in self.state.log_history if "loss" in entry]
        return float(rates[-1])

    def get_train_dataloader(self) -> Any:
        """As the library's, with no row seen twice by several processes."""
        loader = super().get_train_dataloader()
        if self.args.world_size > 1:
            shard = loader.batch_sampler  # accelerate's, which gives each process its batches
            shard.batch_sampler = EvenBatches(
                shard.batch_sampler, rows=len(self.train_dataset), processes=self.args.world_size
            )
        return loader

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """One forward and backward pass."""
        loss: torch.Tensor = super().training_step(*arguments, **options)
        if not bool(loss.isfinite()):
            raise Diverged(self.state.global_step + 1, self._get_learning_rate())
        return loss

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        tokens = (inputs["row_lengths"] > 0).sum().to(self.args.device)
        self.state.num_input_tokens_seen += int(self.accelerator.gather(tokens).sum())

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._by_length:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        # rows of an optimizer step, over all accumulation steps and processes
        size = self._train_batch_size * self.args.gradient_accumulation_steps
        size *= self.args.world_size
        return LengthWindows([len(row["input_ids"]) for row in rows], size, seed=self.args.seed)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The batch's share of the mean loss over all labels of the optimizer step."""
        del inputs["row_lengths"]
        if self._labelled is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with self._labelled.at(inputs["labels"]):
            inputs = without_mask(inputs)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
