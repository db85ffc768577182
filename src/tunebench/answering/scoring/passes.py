"""Ways to run prompts through a model for the log-probabilities of all their labels.

Each takes a batch of questions and gives questions × labels sums of log-probabilities (nats):

- `as_tree` runs a prompt once, its labels behind it as a tree, under a mask by which each branch
  sees the prompt and itself, at positions that begin again at the prompt's end (as speculative
  decoding runs candidate tokens: Miao et al., SpecInfer, arXiv 2305.09781);
- `with_cache` runs a prompt once and its labels after it, on copies of its key-value cache;
- `one_by_one` runs the prompt anew for each label, as any causal language model can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from tunebench.answering.prefix_cache import PrefixCache, logits_to_keep, tensor
from tunebench.answering.scoring.tree import LabelTree
from tunebench.prompts import batching

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Question:
    """A prompt's tokens, and the labels' behind it."""

    context: tuple[int, ...]
    tree: LabelTree

    @property
    def length(self) -> int:
        """Tokens that are fed when it is run as a tree."""
        return len(self.context) + len(self.tree)


def as_tree(prefix: PrefixCache, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """One pass for prompts and labels; see the module's docstring."""
    import torch

    model = prefix.model
    contexts = [prefix.rest(question.context) for question in questions]
    trees = [question.tree for question in questions]
    longest, nodes = max(map(len, contexts)), max(map(len, trees))
    ids, positions = [], []
    for context, tree in zip(contexts, trees, strict=True):
        # prompts end together, so that only the last positions' logits are needed
        left, right = longest - len(context), nodes - len(tree)
        start, end = prefix.positions, prefix.positions + len(context)
        below = [end + depth for depth in tree.depths]
        ids.append([*[padding] * left, *context, *tree.tokens, *[padding] * right])
        positions.append([*[start] * left, *range(start, end), *below, *[end] * right])
    cache = prefix.for_batch(len(questions))
    seen = _visible(longest, [len(context) for context in contexts], trees)
    before = torch.ones(*seen.shape[:2], prefix.positions, dtype=torch.bool)
    hidden = ~torch.cat((before, seen), dim=-1).to(model.device)
    mask = torch.zeros(hidden.shape, dtype=model.dtype, device=model.device)
    logits = model(
        input_ids=tensor(ids, model),
        attention_mask=mask.masked_fill_(hidden, torch.finfo(model.dtype).min)[:, None],
        position_ids=tensor(positions, model),
        past_key_values=cache,
        use_cache=cache is not None,
        **logits_to_keep(model, nodes + 1),
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
    for tree in {id(tree): tree for tree in trees}.values():
        branches = longest + torch.tensor(tree.branches, dtype=torch.long).reshape(-1, 2)
        rows = torch.tensor([row for row, other in enumerate(trees) if other is tree])
        seen[rows[:, None], branches[:, 0], branches[:, 1]] = True
    seen[:, place, place] = True  # padding sees itself, since softmax over nothing is not a number
    return seen


def _read(logits: torch.Tensor, trees: Sequence[LabelTree]) -> torch.Tensor:
    """Sum up each label's path: position 0 is the prompt's last token, 1 + n the tree's node n."""
    import torch

    steps = [tree.steps for tree in trees]
    rows = torch.arange(len(trees)).repeat_interleave(torch.tensor(list(map(len, steps))))
    places = torch.tensor(list(chain.from_iterable(steps)))
    nodes, tokens, labels = places.to(logits.device).unbind(1)
    found = logits.float().log_softmax(-1)[rows.to(logits.device), nodes, tokens]
    sums = torch.zeros(len(trees), len(trees[0].paths), device=logits.device)
    return sums.index_put_((rows, labels), found, accumulate=True)


def with_cache(prefix: PrefixCache, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """One pass for each prompt, one for its labels; see the module's docstring."""
    import torch

    return torch.stack([_label_by_label(prefix, padding, question) for question in questions])


def _label_by_label(prefix: PrefixCache, padding: int, question: Question) -> torch.Tensor:
    import torch

    model = prefix.model
    answer = model(
        input_ids=tensor([prefix.rest(question.context)], model),
        past_key_values=prefix.for_batch(1),
        use_cache=True,
        **logits_to_keep(model, 1),
    )
    first = answer.logits[:, -1:]
    answers = [question.tree.answer(label) for label in range(len(question.tree.paths))]
    fed = max(map(len, answers)) - 1
    logits = first.expand(len(answers), -1, -1)
    if fed:
        cache = answer.past_key_values
        cache.batch_repeat_interleave(len(answers))
        # padding stands behind what is read, where nothing sees it
        ids = [[*tokens[:-1], *[padding] * (fed - len(tokens) + 1)] for tokens in answers]
        rest = model(input_ids=tensor(ids, model), past_key_values=cache, use_cache=True).logits
        logits = torch.cat((logits, rest), dim=1)
    return _read_rows(logits, answers)


def one_by_one(model: Any, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """A pass for each label; see the module's docstring."""
    import torch

    sums = []
    for label in range(len(questions[0].tree.paths)):
        answers = [question.tree.answer(label) for question in questions]
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

    logprobs = logits.float().log_softmax(-1)
    return torch.stack(
        [
            logprobs[row, torch.arange(len(answer)), torch.tensor(answer)].sum()
            for row, answer in enumerate(answers)
        ]
    )
