"""Logits only where a label is: hidden states of prompt tokens never meet the language-model head.

The head is asked through the model's own forward, so adapters on it, virtual tokens in front and
what an architecture does to its logits stay as they are.
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

# numbers that logits hold at once: 128 MB in float32, 1,024 tokens of a vocabulary of 32,000
MOST_LOGITS = 2**25
ENLARGED = 64.0
# how far the mean over the same logits may lie apart, as a fraction: whatever their precision, both
# are summed in float32
SAME_LOGITS = 1e-3


class LabelledLogits:
    """Hands a model's head only the positions that predict a label.

    Where the head's output is the model's logits (`bare`), the loss is taken there, a part of the
    labels at a time, whose logits are computed anew in the backward pass; elsewhere the model
    finishes the logits of all labels at once.
    """

    def __init__(self, model: PreTrainedModel, head: torch.nn.Module) -> None:
        self.model = model
        self.head = head
        self.bare = False
        self._labels: torch.Tensor | None = None  # rows × tokens, while a batch is run
        self._sum: torch.Tensor | None = None
        head.register_forward_pre_hook(self._select)

    @contextmanager
    def at(self, labels: torch.Tensor) -> Iterator[None]:
        """Compute logits before these labels only: rows × tokens, -100 where there is none."""
        self._labels, self._sum = labels, None
        try:
            yield
        finally:
            self._labels = self._sum = None

    def _select(self, _head: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The labelled positions of rows × positions × width, as 1 × labels × width."""
        if self._labels is None:
            return None
        labels = self._labels
        # counted from the end, since prompt tuning puts positions of its own in front
        hidden = given[0][:, -labels.shape[1] :][:, :-1][labels[:, 1:] != IGNORED]
        if self.bare:
            self._sum = self._summed(hidden, targets(labels))
            hidden = hidden[:0]
        return (hidden[None], *given[1:])

    def _summed(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The labels' summed loss, from labels × width."""
        import torch
        from torch.utils.checkpoint import checkpoint

        size = max(1, MOST_LOGITS // self.model.config.get_text_config().vocab_size)
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
        """Mean over the labels; over all those of an optimizer step where their number is given."""
        wanted = targets(labels)
        total = self._sum
        if total is None:
            total = cross_entropy(outputs.logits[0], wanted)
        return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def targets(labels: torch.Tensor) -> torch.Tensor:
    """The labels that some position predicts, row after row; a row's first token has none."""
    later = labels[:, 1:]
    return later[later != IGNORED]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed loss in float32, as transformers computes it: labels × vocabulary, labels."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), labels, reduction="sum")


def without_mask(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch padded on the right, less the mask: no token sees the padding behind it."""
    return {name: tensor for name, tensor in batch.items() if name != "attention_mask"}


def labelled(model: PreTrainedModel, batch: Batch) -> LabelledLogits | None:
    """What computes logits only where a label is; None for a model whose loss is then another.

    Not every architecture has a head of its own that takes hidden states row by row, or needs no
    mask. So a batch is run in the plain way too.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None
    ours = LabelledLogits(model, head)

    def losses() -> tuple[float, float, float]:
        """The model's own, that of all its logits, and that of the labelled ones."""
        with shortcuts.inference(model):
            outputs = model(**batch)
            of_all = _of_logits(outputs, batch["labels"])
            ours.bare = _is_bare(ours, batch)
            return float(outputs.loss), of_all, _loss(ours, batch)

    found = shortcuts.unless_refused(losses)
    if found is None:
        return None
    plain, of_all, of_labelled = found
    if abs(of_all - plain) > SAME_LOGITS * abs(plain):
        return None  # it adds what logits do not tell: AdaLoRA's regularization, say
    return ours if abs(of_labelled - plain) <= shortcuts.tolerance(model) * abs(plain) else None


def _loss(ours: LabelledLogits, batch: Batch) -> float:
    inputs = without_mask(batch)
    wanted = inputs.pop("labels")
    with ours.at(wanted):
        return float(ours.loss(ours.model(**inputs), wanted))


def _of_logits(outputs: ModelOutput, labels: torch.Tensor) -> float:
    """The mean loss of logits over all positions, virtual tokens' in front."""
    predicting = outputs.logits[:, -labels.shape[1] :][:, :-1][labels[:, 1:] != IGNORED]
    wanted = targets(labels)
    return float(cross_entropy(predicting, wanted)) / len(wanted)


def _is_bare(ours: LabelledLogits, batch: Batch) -> bool:
    """Whether nothing happens to logits behind the head: no scale, no soft cap.

    Hidden states are enlarged, since a cap hardly moves small logits.
    """
    import torch

    fed = []

    def enlarge(_head: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        fed.append(given[0] * ENLARGED)
        return (fed[0], *given[1:])

    inputs = without_mask(batch)
    handle = ours.head.register_forward_pre_hook(enlarge)
    try:
        with ours.at(inputs.pop("labels")):
            logits = ours.model(**inputs).logits
    finally:
        handle.remove()
    return torch.allclose(logits.float(), ours.head.forward(fed[0]).float(), rtol=1e-4)
