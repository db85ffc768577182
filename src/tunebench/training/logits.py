"""Logits only for labelled positions: the language-model head skips the prompt's hidden states.

The head is called by the model's own forward, so adapters on it, virtual tokens and whatever an
architecture does to its logits stay in effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunebench.models import shortcuts
from tunebench.prompts.batching import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

Batch = Mapping[str, "torch.Tensor"]

# numbers in logits at a time: 128 MB in float32, 1,024 tokens of a vocabulary of 32,000
MAX_LOGITS = 2**25
ENLARGED = 64.0
# how far two means over the same logits may differ, as a fraction; both are summed in float32
SAME_LOGITS = 1e-3


class LabelledLogits:
    """Passes a model's head only the positions that predict a label.

    If the head's output is the model's logits (`head_gives_logits`), the loss is computed at the
    head, in chunks of labels whose logits are recomputed in the backward pass. Otherwise the model
    computes the logits of all labels at once.
    """

    def __init__(self, model: PreTrainedModel, head: torch.nn.Module) -> None:
        self.model = model
        self.head = head
        self.head_gives_logits = False
        self._labels: torch.Tensor | None = None  # rows × tokens, while a batch is run
        self._sum: torch.Tensor | None = None
        head.register_forward_pre_hook(self._select)

    @contextmanager
    def at(self, labels: torch.Tensor) -> Iterator[None]:
        """In the block, compute only these labels' logits: rows × tokens, -100 is no label."""
        self._labels, self._sum = labels, None
        try:
            yield
        finally:
            self._labels = self._sum = None

    def _select(self, _head: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The labelled positions of rows × positions × width, as 1 × labels × width."""
        if self._labels is None:
            return None
        labels = self._labels
        # counted from the end: prompt tuning puts virtual tokens in front
        hidden = arguments[0][:, -labels.shape[1] :][:, :-1][labels[:, 1:] != IGNORED]
        if self.head_gives_logits:
            self._sum = self._summed(hidden, targets(labels))
            hidden = hidden[:0]
        return (hidden[None], *arguments[1:])

    def _summed(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The labels' summed loss, from labels × width."""
        import torch
        from torch.utils.checkpoint import checkpoint

        size = max(1, MAX_LOGITS // self.model.config.get_text_config().vocab_size)
        if len(labels) <= size:
            return self._part(hidden, labels)
        parts = zip(torch.split(hidden, size), torch.split(labels, size), strict=True)
        return torch.stack(
            [checkpoint(self._part, *part, use_reentrant=False) for part in parts]
        ).sum()

    def _part(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(self.head.forward(hidden), labels)

    def loss(
        self,
        outputs: ModelOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The summed loss over `num_items_in_batch`, by default the number of labels."""
        target_ids = targets(labels)
        total = self._sum
        if total is None:
            total = cross_entropy(outputs.logits[0], target_ids)
        return total / (len(target_ids) if num_items_in_batch is None else num_items_in_batch)


def targets(labels: torch.Tensor) -> torch.Tensor:
    """The labels that a position predicts, flattened; no position predicts a row's first token."""
    later = labels[:, 1:]
    return later[later != IGNORED]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed loss in float32, as in transformers; logits are labels × vocabulary."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), labels, reduction="sum")


def without_mask(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch without its mask: it is padded on the right, which causal attention never sees."""
    return {name: tensor for name, tensor in batch.items() if name != "attention_mask"}


def labelled(model: PreTrainedModel, batch: Batch) -> LabelledLogits | None:
    """A `LabelledLogits`, or None for a model whose loss would change.

    Not every architecture has a separate head for single hidden states, or works without a mask. So
    the loss of a batch is compared with the model's own.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None
    labelled_logits = LabelledLogits(model, head)

    def losses() -> tuple[float, float, float]:
        """The model's own loss, that of all its logits, and that of the labelled ones."""
        with shortcuts.inference(model):
            outputs = model(**batch)
            of_all = _of_logits(outputs, batch["labels"])
            labelled_logits.head_gives_logits = _head_gives_logits(labelled_logits, batch)
            return float(outputs.loss), of_all, _loss(labelled_logits, batch)

    result = shortcuts.unless_refused(losses)
    if result is None:
        return None
    plain, of_all, of_labelled = result
    if abs(of_all - plain) > SAME_LOGITS * abs(plain):
        return None  # the loss has other terms, as AdaLoRA's regularization
    return (
        labelled_logits
        if abs(of_labelled - plain) <= shortcuts.tolerance(model) * abs(plain)
        else None
    )


def _loss(labelled_logits: LabelledLogits, batch: Batch) -> float:
    inputs = without_mask(batch)
    labels = inputs.pop("labels")
    with labelled_logits.at(labels):
        return float(labelled_logits.loss(labelled_logits.model(**inputs), labels))


def _of_logits(outputs: ModelOutput, labels: torch.Tensor) -> float:
    """The mean loss of logits over all positions, virtual tokens included."""
    predicting = outputs.logits[:, -labels.shape[1] :][:, :-1][labels[:, 1:] != IGNORED]
    target_ids = targets(labels)
    return float(cross_entropy(predicting, target_ids)) / len(target_ids)


def _head_gives_logits(labelled_logits: LabelledLogits, batch: Batch) -> bool:
    """Whether the head's output is the logits, without scaling or soft-capping.

    Hidden states are enlarged, since a soft cap hardly changes small logits.
    """
    import torch

    enlarged = []

    def enlarge(_head: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        enlarged.append(arguments[0] * ENLARGED)
        return (enlarged[0], *arguments[1:])

    inputs = without_mask(batch)
    handle = labelled_logits.head.register_forward_pre_hook(enlarge)
    try:
        with labelled_logits.at(inputs.pop("labels")):
            logits = labelled_logits.model(**inputs).logits
    finally:
        handle.remove()
    return torch.allclose(
        logits.float(), labelled_logits.head.forward(enlarged[0]).float(), rtol=1e-4
    )
