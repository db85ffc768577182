"""Greedy decoding with the results of `model.generate`, several times faster in batches.

The KV cache is preallocated, finished rows leave the batch, and the shared prefix is run once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebench.answering.prefix_cache import Context, PrefixCache, logits_to_keep, tensor
from tunebench.prompts import batching

if TYPE_CHECKING:
    import torch

# removing rows copies the others' keys and values, so it waits until this fraction is finished
MIN_FINISHED = 0.25


@dataclass(frozen=True)
class Writer:
    """A model that generates until one of `eos_ids`, and at most `max_new_tokens` tokens."""

    prefix: PrefixCache
    padding: int
    eos_ids: frozenset[int]
    max_new_tokens: int

    def write(self, contexts: Sequence[Context]) -> list[list[int]]:
        """The tokens generated after each context, including the end-of-sequence token."""
        import torch

        state = _State(self, [self.prefix.rest(context) for context in contexts])
        written: list[list[int]] = [[] for _ in contexts]
        rows = list(range(len(contexts)))  # the context of each row in the batch
        alive = set(rows)
        for step in range(self.max_new_tokens):
            for row, token in zip(rows, state.next.tolist(), strict=True):
                if row in alive:
                    written[row].append(token)
                    if token in self.eos_ids:
                        alive.remove(row)
            if not alive or step == self.max_new_tokens - 1:
                break
            if len(rows) - len(alive) >= MIN_FINISHED * len(rows):
                staying = [place for place, row in enumerate(rows) if row in alive]
                state.select(torch.tensor(staying, device=state.next.device))
                rows = [rows[place] for place in staying]
            state.step()
        return written


class _State:
    """A batch during generation, its contexts padded on the left."""

    next: torch.Tensor  # each row's latest token, which is not in the cache yet

    def __init__(self, writer: Writer, contexts: Sequence[Context]) -> None:
        from tunebench.answering.generation.cache import preallocated

        prefix, longest = writer.prefix, max(map(len, contexts))
        self.model, start = prefix.model, prefix.positions
        pad_counts = [longest - len(context) for context in contexts]
        ids = [
            [writer.padding] * pads + list(context)
            for pads, context in zip(pad_counts, contexts, strict=True)
        ]
        mask = [[1] * start + [0] * pads + [1] * (longest - pads) for pads in pad_counts]
        positions = [
            [start] * pads + list(range(start, start + longest - pads)) for pads in pad_counts
        ]
        self.cache = preallocated(
            prefix.for_batch(len(contexts)),
            self.model.config.get_text_config().num_hidden_layers,
            start + longest + writer.max_new_tokens,
            len(contexts),
        )
        self.last_logits = logits_to_keep(self.model, 1)
        self.mask = tensor(mask, self.model)
        self.positions = tensor(positions, self.model)
        self._read(tensor(ids, self.model), start, pad_counts)
        if not self.cache.layers[0].is_initialized:
            raise TypeError("the model keeps its state elsewhere, not in keys and values")

    def step(self) -> None:
        """Run the latest tokens, and choose the next ones."""
        import torch

        self.mask = torch.cat((self.mask, self.mask.new_ones(len(self.mask), 1)), dim=1)
        self.positions = self.positions[:, -1:] + 1
        self.next = self._run(self.next[:, None], slice(None))

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows of the batch."""
        self.cache.batch_select_indices(rows)
        self.mask, self.positions, self.next = (
            state[rows] for state in (self.mask, self.positions, self.next)
        )

    def _read(self, ids: torch.Tensor, start: int, pad_counts: Sequence[int]) -> None:
        """Prefill: run the contexts, a few at a time on a CPU, see `batching.at_once`.

        Padding that all of these have is left out: the cache is zero there, and masked.
        """
        import torch

        rows, longest = ids.shape
        at_once = batching.at_once(self.model, rows * longest)
        chosen = []
        for part in _parts([longest - pads for pads in pad_counts], at_once):
            skipped = min(pad_counts[part])
            self._look_at(part, start + skipped)
            chosen.append(self._run(ids[part, skipped:], part, skipped))
        self._look_at(slice(rows), start + longest)
        self.next = torch.cat(chosen)

    def _look_at(self, rows: slice, used: int) -> None:
        for layer in self.cache.layers:
            layer.look_at(rows, used)

    def _run(self, ids: torch.Tensor, rows: slice, skipped: int = 0) -> torch.Tensor:
        logits: Any = self.model(
            input_ids=ids,
            attention_mask=self.mask[rows],
            position_ids=self.positions[rows, skipped:],
            past_key_values=self.cache,
            use_cache=True,
            **self.last_logits,
        ).logits
        chosen: torch.Tensor = logits[:, -1].argmax(-1)
        return chosen


def _parts(lengths: Sequence[int], tokens: int) -> Iterator[slice]:
    """Neighbours that have at most so many tokens when padded to the longest of them, or one row.

    >>> list(_parts([5, 4, 2, 2, 9], 10))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    first, longest = 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > first and longest * (row + 1 - first) > tokens:
            yield slice(first, row)
            first, longest = row, length
    yield slice(first, len(lengths))
