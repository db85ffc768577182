"""NEFTune: noise on the embeddings of training rows (Jain et al., arXiv 2310.05914)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class RowNoise:
    """Uniform noise within ±α/√(L·d) while training: L a row's own tokens, d the width.

    transformers' own takes L from the batch, padding and packed neighbours counted in, and lays
    noise on padding too; the paper's code does neither.
    """

    def __init__(self, model: PreTrainedModel, alpha: float) -> None:
        self.alpha = alpha
        self._lengths: torch.Tensor | None = None
        model.get_input_embeddings().register_forward_hook(self._add)

    @contextmanager
    def on(self, lengths: torch.Tensor) -> Iterator[None]:
        """Lay noise on the next batch, sequences × tokens: of each its row's length, or 0."""
        self._lengths = lengths
        try:
            yield
        finally:
            self._lengths = None

    def _add(self, module: torch.nn.Module, _given: Any, embedded: torch.Tensor) -> torch.Tensor:
        import torch

        if self._lengths is None or not module.training:
            return embedded
        lengths = self._lengths[..., None]
        scale = self.alpha / (lengths.clamp(min=1) * embedded.shape[-1]).sqrt() * (lengths > 0)
        noise = torch.empty_like(embedded).uniform_(-1, 1)
        return embedded + noise * scale.to(embedded.dtype)
