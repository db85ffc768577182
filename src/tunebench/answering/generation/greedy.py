"""Greedy text, as `transformers` writes it and several times faster in batches.

Keys and values have their room from the start, rows that have ended leave the batch, and what all
prompts begin with is run once. Which token comes next is the model's own doing, so the texts are
those of `model.generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebench.answering.prefix_cache import Context, PrefixCache, logits_to_keep, tensor
from tunebench.prompts import batching

if TYPE_CHECKING:
    import torch

# leaving copies the others' keys and values, so rows wait until they are as many as this share
LEAVING = 0.25


@dataclass(frozen=True)
class Writer:
    """A model that writes at most `most` tokens, until one of `ends`."""

    prefix: PrefixCache
    padding: int
    ends: frozenset[int]
    most: int

    def write(self, contexts: Sequence[Context]) -> list[list[int]]:
        """The tokens that follow each context, the end token included."""
        import torch

        state = _State(self, [self.prefix.rest(context) for context in contexts])
        written: list[list[int]] = [[] for _ in contexts]
        rows = list(range(len(contexts)))  # whose text each row of the batch is
        alive = set(rows)
        for step in range(self.most):
            for row, token in zip(rows, state.next.tolist(), strict=True):
                if row in alive:
                    written[row].append(token)
                    if token in self.ends:
                        alive.remove(row)
            if not alive or step == self.most - 1:
                break
            if len(rows) - len(alive) >= LEAVING * len(rows):
                staying = [place for place, row in enumerate(rows) if row in alive]
                state.select(torch.tensor(staying, device=state.next.device))
                rows = [rows[place] for place in staying]
            state.step()
        return written


class _State:
    """A batch in the middle of being written, its contexts padded on the left."""

    next: torch.Tensor  # each row's token just chosen, not yet run

    def __init__(self, writer: Writer, contexts: Sequence[Context]) -> None:
        from tunebench.answering.generation.cache import roomy

        prefix, longest = writer.prefix, max(map(len, contexts))
        self.model, start = prefix.model, prefix.positions
        padded = [longest - len(context) for context in contexts]
        ids = [
            [writer.padding] * left + list(context)
            for left, context in zip(padded, contexts, strict=True)
        ]
        mask = [[1] * start + [0] * left + [1] * (longest - left) for left in padded]
        positions = [[start] * left + list(range(start, start + longest - left)) for left in padded]
        self.cache = roomy(
            prefix.for_batch(len(contexts)),
            self.model.config.get_text_config().num_hidden_layers,
            start + longest + writer.most,
            len(contexts),
        )
        self.last_logits = logits_to_keep(self.model, 1)
        self.mask = tensor(mask, self.model)
        self.positions = tensor(positions, self.model)
        self._read(tensor(ids, self.model), start)
        if self.cache.get_seq_length() != self.mask.shape[1]:
            raise TypeError("the model keeps its state elsewhere, not in keys and values")

    def step(self) -> None:
        """Run the tokens just chosen."""
        import torch

        self.mask = torch.cat((self.mask, self.mask.new_ones(len(self.mask), 1)), dim=1)
        self.positions = self.positions[:, -1:] + 1
        self.next = self._run(self.next[:, None], slice(None))

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows of the batch."""
        self.cache.batch_select_indices(rows)
        self.mask, self.positions, self.next = (
            each[rows] for each in (self.mask, self.positions, self.next)
        )

    def _read(self, ids: torch.Tensor, start: int) -> None:
        """Run the contexts, on a CPU a few of them at a time, see `batching.at_once`."""
        import torch

        rows, longest = ids.shape
        at_once = max(1, batching.at_once(self.model, rows * longest) // longest)
        chosen = []
        for first in range(0, rows, at_once):
            part = slice(first, min(first + at_once, rows))
            self._look_at(part, start)
            chosen.append(self._run(ids[part], part))
        self._look_at(slice(rows), start + longest)
        self.next = torch.cat(chosen)

    def _look_at(self, rows: slice, used: int) -> None:
        for layer in self.cache.layers:
            layer.look_at(rows, used)

    def _run(self, ids: torch.Tensor, rows: slice) -> torch.Tensor:
        logits: Any = self.model(
            input_ids=ids,
            attention_mask=self.mask[rows],
            position_ids=self.positions[rows],
            past_key_values=self.cache,
            use_cache=True,
            **self.last_logits,
        ).logits
        chosen: torch.Tensor = logits[:, -1].argmax(-1)
        return chosen
