"""The prefix cache: keys and values of the shared prefix of a run's prompts."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

Context = Sequence[int]  # a prompt's token ids

# a shorter prefix is not worth copying a cache for every batch
MIN_SHARED_TOKENS = 16


@dataclass(frozen=True)
class PrefixCache:
    """The shared prefix of all prompts, already run.

    `tokens` is its length; `positions` also counts the virtual tokens that prompt tuning puts in
    front. `cache` has keys and values of one sequence; None if nothing is shared.
    """

    model: PreTrainedModel
    tokens: int = 0
    positions: int = 0
    cache: Cache | None = None

    @classmethod
    def of(cls, model: PreTrainedModel, contexts: Sequence[Context], *, share: bool) -> PrefixCache:
        """Run the virtual tokens and the contexts' shared prefix: instruction, solved examples."""
        shared = shared_tokens(contexts) if share else 0
        ids = list(contexts[0][:shared])
        virtual = _is_prompt_learning(model)
        if not (ids or virtual):
            return cls(model)
        if virtual:
            inner = model.base_model
            cache, positions = _run_virtual(model, ids)
        else:
            inner = model
            cache, positions = _run(model, ids), len(ids)
        return cls(inner, shared, positions, cache)

    def for_batch(self, size: int) -> Cache | None:
        """A copy of the cache, repeated for each sequence of a batch."""
        if self.cache is None:
            return None
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(size)
        return cache

    def rest(self, context: Context) -> Context:
        """A context without the shared prefix."""
        return context[self.tokens :]


def shared_tokens(contexts: Sequence[Context]) -> int:
    """Length of the contexts' shared prefix in tokens; 0 if it is too short to be worth a cache."""
    if len(contexts) < 2:
        return 0
    # the prefix shared by the first and the last in sorted order is shared by all
    first, last = min(map(tuple, contexts)), max(map(tuple, contexts))
    shared = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    # at least one token of each prompt must be run for its logits
    shared = min(shared, *(len(context) - 1 for context in contexts))
    return shared if shared >= MIN_SHARED_TOKENS else 0


def _is_prompt_learning(model: Any) -> bool:
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def tensor(ids: Sequence[Sequence[int]], model: Any) -> torch.Tensor:
    """Integers as a tensor on the model's device."""
    import torch

    return torch.tensor(ids, dtype=torch.long, device=model.device)


def _run(model: Any, ids: Sequence[int]) -> Cache:
    return model(
        input_ids=tensor([ids], model), use_cache=True, **logits_to_keep(model, 1)
    ).past_key_values


def _run_virtual(model: Any, ids: Sequence[int]) -> tuple[Cache, int]:
    """Run virtual tokens (embeddings; keys and values in prefix tuning), then real ones."""
    import torch

    inner, positions = model.base_model, model.active_peft_config.num_virtual_tokens + len(ids)
    virtual = model.get_prompt(batch_size=1)
    if not torch.is_tensor(virtual):
        if ids:
            inner(input_ids=tensor([ids], model), past_key_values=virtual, use_cache=True)
        return virtual, positions
    embedded = virtual.to(inner.dtype)
    if ids:
        words = model.word_embeddings(tensor([ids], model))
        embedded = torch.cat((embedded.to(words.dtype), words), dim=1)
    output = inner(inputs_embeds=embedded, use_cache=True, **logits_to_keep(inner, 1))
    return output.past_key_values, positions


def logits_to_keep(model: Any, positions: int) -> dict[str, int]:
    """The option to compute only the last positions' logits, if the architecture supports it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = "logits_to_keep" in inspect.signature(inner.forward).parameters
    return {"logits_to_keep": positions} if known else {}
