"""Ways to run prompts through a model for the log-probabilities of all their labels.

Each takes a batch of questions and gives questions × labels sums of log-probabilities (nats):

- `as_tree` runs a prompt once, its labels behind it as a tree, under a mask by which each branch
  sees the prompt and itself, at positions that begin again at the prompt's end (as speculative
  decoding runs candidate tokens: Miao et al., SpecInfer, arXiv 2305.09781);
- `with_cache` runs a prompt once and its labels after it, on copies of its key-value cache;
- `one_by_one` runs the prompt anew for each label, as any causal language model can.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from tunebench import batching
from tunebench.scoring.tree import ROOT, LabelTree

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

# a shorter beginning is not worth a cache that is copied for every batch
LEAST_SHARED_TOKENS = 16


@dataclass(frozen=True)
class Question:
    """A prompt's tokens, and the labels' behind it."""

    context: tuple[int, ...]
    tree: LabelTree

    @property
    def length(self) -> int:
        """Tokens that are fed when it is run as a tree."""
        return len(self.context) + len(self.tree)


@dataclass(frozen=True)
class Beginning:
    """What all questions begin with, already run.

    `tokens` of each context are covered; `positions` counts virtual tokens too, those that prompt
    tuning puts in front. `cache` holds keys and values of one sequence, None where there is nothing
    to share.
    """

    model: PreTrainedModel
    tokens: int = 0
    positions: int = 0
    cache: Cache | None = None

    @classmethod
    def of(cls, model: PreTrainedModel, questions: Sequence[Question], *, share: bool) -> Beginning:
        """Run what the questions share (an instruction, solved examples) and virtual tokens."""
        shared = shared_tokens(questions) if share else 0
        ids = list(questions[0].context[:shared])
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
        """A copy of the cache, once for each sequence of a batch."""
        if self.cache is None:
            return None
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(size)
        return cache

    def rest(self, question: Question) -> tuple[int, ...]:
        """The question's own tokens."""
        return question.context[self.tokens :]


def shared_tokens(questions: Sequence[Question]) -> int:
    """How many tokens all questions begin with; 0 where that is too few to be worth a cache."""
    first = min(question.context for question in questions)
    last = max(question.context for question in questions)
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    # one token at least is each question's own: its logits come with its own pass
    same = min(same, *(len(question.context) - 1 for question in questions))
    return same if same >= LEAST_SHARED_TOKENS and len(questions) > 1 else 0


def _is_prompt_learning(model: Any) -> bool:
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def _tensor(ids: Sequence[Sequence[int]], model: Any) -> torch.Tensor:
    import torch

    return torch.tensor(ids, dtype=torch.long, device=model.device)


def _run(model: Any, ids: Sequence[int]) -> Cache:
    return model(input_ids=_tensor([ids], model), use_cache=True, **_keep(model, 1)).past_key_values


def _run_virtual(model: Any, ids: Sequence[int]) -> tuple[Cache, int]:
    """Virtual tokens, as embeddings or (in prefix tuning) as keys and values, then real ones."""
    import torch

    inner, positions = model.base_model, model.active_peft_config.num_virtual_tokens + len(ids)
    virtual = model.get_prompt(batch_size=1)
    if not torch.is_tensor(virtual):
        if ids:
            inner(input_ids=_tensor([ids], model), past_key_values=virtual, use_cache=True)
        return virtual, positions
    embedded = virtual.to(inner.dtype)
    if ids:
        words = model.word_embeddings(_tensor([ids], model))
        embedded = torch.cat((embedded.to(words.dtype), words), dim=1)
    answer = inner(inputs_embeds=embedded, use_cache=True, **_keep(inner, 1))
    return answer.past_key_values, positions


def as_tree(beginning: Beginning, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """One pass for prompts and labels; see the module's docstring."""
    import torch

    model = beginning.model
    contexts = [beginning.rest(question) for question in questions]
    trees = [question.tree for question in questions]
    longest, nodes = max(map(len, contexts)), max(map(len, trees))
    ids, positions = [], []
    for context, tree in zip(contexts, trees, strict=True):
        # prompts end together, so that only the last positions' logits are needed
        left, right = longest - len(context), nodes - len(tree)
        start, end = beginning.positions, beginning.positions + len(context)
        below = [end + depth for depth in tree.depths]
        ids.append([*[padding] * left, *context, *tree.tokens, *[padding] * right])
        positions.append([*[start] * left, *range(start, end), *below, *[end] * right])
    cache = beginning.for_batch(len(questions))
    seen = _visible(longest, [len(context) for context in contexts], trees)
    before = torch.ones(*seen.shape[:2], beginning.positions, dtype=torch.bool)
    hidden = ~torch.cat((before, seen), dim=-1).to(model.device)
    mask = torch.zeros(hidden.shape, dtype=model.dtype, device=model.device)
    logits = model(
        input_ids=_tensor(ids, model),
        attention_mask=mask.masked_fill_(hidden, torch.finfo(model.dtype).min)[:, None],
        position_ids=_tensor(positions, model),
        past_key_values=cache,
        use_cache=cache is not None,
        **_keep(model, nodes + 1),
    ).logits[:, -nodes - 1 :]
    return _read(logits, trees)


def _visible(longest: int, lengths: Sequence[int], trees: Sequence[LabelTree]) -> torch.Tensor:
    """Which fed tokens see which: questions × tokens × tokens, the prompts ending at `longest`."""
    import torch

    total = longest + max(map(len, trees))
    place = torch.arange(total)
    starts = longest - torch.tensor(lengths)
    seen = (place[:, None] >= place) & (place >= starts[:, None, None])
    seen[:, longest:, longest:] = False
    for row, tree in enumerate(trees):
        for node in range(len(tree)):
            seen[row, longest + node, [longest + above for above in tree.ancestors(node)]] = True
    seen[:, place, place] = True  # padding sees itself, since softmax over nothing is not a number
    return seen


def _read(logits: torch.Tensor, trees: Sequence[LabelTree]) -> torch.Tensor:
    """Sum up each label's path: position 0 is the prompt's last token, 1 + n the tree's node n."""
    import torch

    places = [
        (row, node - ROOT, token, label)
        for row, tree in enumerate(trees)
        for label, path in enumerate(tree.paths)
        for node, token in path
    ]
    rows, nodes, tokens, labels = torch.tensor(places, device=logits.device).unbind(1)
    logits = logits.float()
    found = logits[rows, nodes, tokens] - logits.logsumexp(-1)[rows, nodes]
    sums = torch.zeros(len(trees), len(trees[0].paths), device=logits.device)
    return sums.index_put_((rows, labels), found, accumulate=True)


def with_cache(beginning: Beginning, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """One pass for each prompt, one for its labels; see the module's docstring."""
    import torch

    return torch.stack([_label_by_label(beginning, padding, question) for question in questions])


def _label_by_label(beginning: Beginning, padding: int, question: Question) -> torch.Tensor:
    import torch

    model = beginning.model
    answer = model(
        input_ids=_tensor([beginning.rest(question)], model),
        past_key_values=beginning.for_batch(1),
        use_cache=True,
        **_keep(model, 1),
    )
    first = answer.logits[:, -1:]
    answers = [[token for _, token in path] for path in question.tree.paths]
    fed = max(map(len, answers)) - 1
    logits = first.expand(len(answers), -1, -1)
    if fed:
        cache = answer.past_key_values
        cache.batch_repeat_interleave(len(answers))
        # padding stands behind what is read, where nothing sees it
        ids = [[*tokens[:-1], *[padding] * (fed - len(tokens) + 1)] for tokens in answers]
        rest = model(input_ids=_tensor(ids, model), past_key_values=cache, use_cache=True).logits
        logits = torch.cat((logits, rest), dim=1)
    return _read_rows(logits, answers)


def one_by_one(model: Any, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """A pass for each label; see the module's docstring."""
    import torch

    sums = []
    for label in range(len(questions[0].tree.paths)):
        answers = [[token for _, token in question.tree.paths[label]] for question in questions]
        fed = [
            [*question.context, *answer[:-1]]
            for question, answer in zip(questions, answers, strict=True)
        ]
        batch = {
            name: tensor.to(model.device) for name, tensor in batching.pad(fed, padding).items()
        }
        logits = model(**batch, use_cache=False).logits
        # counted from the end, since prompt tuning puts positions of its own in front
        length = batch["input_ids"].shape[1]
        starts = [len(question.context) - 1 - length for question in questions]
        rows = [
            logits[row, start : start + len(answer) or None]
            for row, (start, answer) in enumerate(zip(starts, answers, strict=True))
        ]
        sums.append(
            torch.stack(
                [
                    _read_rows(row[None], [answer])[0]
                    for row, answer in zip(rows, answers, strict=True)
                ]
            )
        )
    return torch.stack(sums, dim=1)


def _read_rows(logits: torch.Tensor, answers: Sequence[Sequence[int]]) -> torch.Tensor:
    """Sum up each row's own answer, whose first token the row's first position predicts."""
    import torch

    logits = logits.float()
    logprobs = logits - logits.logsumexp(-1, keepdim=True)
    return torch.stack(
        [
            logprobs[row, torch.arange(len(answer)), torch.tensor(answer)].sum()
            for row, answer in enumerate(answers)
        ]
    )


def _keep(model: Any, positions: int) -> dict[str, int]:
    """Ask for the last positions' logits only, where the architecture can: the rest is unused."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = "logits_to_keep" in inspect.signature(inner.forward).parameters
    return {"logits_to_keep": positions} if known else {}
