"""A KV cache that is preallocated for the longest answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    import torch


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values in preallocated tensors.

    transformers' own layer grows by concatenation, which copies all of it for every token.
    """

    keys: torch.Tensor
    values: torch.Tensor
    buffers: list[torch.Tensor]
    is_initialized: bool

    def __init__(self, capacity: int, rows: int) -> None:
        super().__init__()
        self.capacity, self.all_rows, self.rows, self.used = capacity, rows, slice(rows), 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens' keys and values: selected rows × heads × tokens × head size."""
        if not self.is_initialized:  # with zeros: what is masked must be finite
            self.dtype, self.device = key_states.dtype, key_states.device
            self.buffers = [
                states.new_zeros(self.all_rows, states.shape[1], self.capacity, states.shape[-1])
                for states in (key_states, value_states)
            ]
            self.is_initialized = True
        end = self.used + key_states.shape[-2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[self.rows, :, self.used : end] = states
        self.look_at(self.rows, end)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """How many tokens are used, of which the first may be padding that no one has written."""
        return self.used

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these sequences of the batch."""
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.look_at(slice(len(indices)), self.used)

    def look_at(self, rows: slice, used: int) -> None:
        """Select rows and how many of their tokens are used; the next tokens follow these."""
        self.rows, self.used = rows, used
        if self.is_initialized:
            self.keys, self.values = (buffer[rows, :, :used] for buffer in self.buffers)


def preallocated(prefix: Cache | None, layers: int, capacity: int, rows: int) -> Cache:
    """A cache for `capacity` tokens, which starts with the prefix's keys and values if given."""
    cache = Cache(layers=[PreallocatedLayer(capacity, rows) for _ in range(layers)])
    if prefix is not None:
        for index, layer in enumerate(prefix.layers):
            cache.update(layer.keys, layer.values, index)
    return cache
