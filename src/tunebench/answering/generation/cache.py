"""A key-value cache that has room for a whole answer from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    import torch


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values, written into tensors that are as long as they will ever be.

    transformers' own layer grows by concatenation, which copies all of it for every token.
    """

    keys: torch.Tensor
    values: torch.Tensor
    room: list[torch.Tensor]
    is_initialized: bool

    def __init__(self, capacity: int, rows: int) -> None:
        super().__init__()
        self.capacity, self.all_rows, self.rows, self.used = capacity, rows, slice(rows), 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens' keys and values: rows looked at × heads × tokens × head size."""
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.room = [
                states.new_empty(self.all_rows, states.shape[1], self.capacity, states.shape[-1])
                for states in (key_states, value_states)
            ]
            self.is_initialized = True
        end = self.used + key_states.shape[-2]
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[self.rows, :, self.used : end] = states
        self.look_at(self.rows, end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these sequences of the batch."""
        self.room = [room[indices] for room in self.room]
        self.look_at(slice(len(indices)), self.used)

    def look_at(self, rows: slice, used: int) -> None:
        """Show some of the rows, with so many of their tokens; the next are written behind them."""
        self.rows, self.used = rows, used
        if self.is_initialized:
            self.keys, self.values = (room[rows, :, :used] for room in self.room)


def roomy(prefix: Cache | None, layers: int, capacity: int, rows: int) -> Cache:
    """An empty cache for `capacity` tokens, or one that holds the prefix's keys and values."""
    cache = Cache(layers=[RoomyLayer(capacity, rows) for _ in range(layers)])
    if prefix is not None:
        for index, layer in enumerate(prefix.layers):
            cache.update(layer.keys, layer.values, index)
    return cache
