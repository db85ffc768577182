"""Forward passes that compute the log-probabilities of all labels of a prompt.

Each takes a batch of questions and returns questions × labels: sums of log-probabilities (nats).

- `as_tree` runs a prompt once with its labels as a tree (tree attention, as in speculative
  decoding: Miao et al., SpecInfer, arXiv 2305.09781). A mask lets each branch see the prompt and
  itself, and its position ids restart at the prompt's end.
- `with_cache` runs a prompt once, then its labels on copies of the prompt's KV cache.
- `one_by_one` runs the prompt again for each label, which any causal language model supports.
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
    """A prompt's tokens, and the tree of its labels' tokens."""

    context: tuple[int, ...]
    tree: LabelTree

    @property
    def length(self) -> int:
        """Tokens in the forward pass when it is run as a tree."""
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
        # prompts are padded on the left, so that only the last positions' logits are needed
        pads_left, pads_right = longest - len(context), nodes - len(tree)
        start, end = prefix.positions, prefix.positions + len(context)
        tree_positions = [end + depth for depth in tree.depths]
        ids.append([*[padding] * pads_left, *context, *tree.tokens, *[padding] * pads_right])
        positions.append(
            [*[start] * pads_left, *range(start, end), *tree_positions, *[end] * pads_right]
        )
    cache = prefix.for_batch(len(questions))
    visible = _visible(longest, [len(context) for context in contexts], trees)
    before = torch.ones(*visible.shape[:2], prefix.positions, dtype=torch.bool)
    hidden = ~torch.cat((before, visible), dim=-1).to(model.device)
    mask = torch.zeros(hidden.shape, dtype=model.dtype, device=model.device)
    logits = model(
        input_ids=tensor(ids, model),
        attention_mask=mask.masked_fill_(hidden, torch.finfo(model.dtype).min)[:, None],
        position_ids=tensor(positions, model),
        past_key_values=cache,
        use_cache=cache is not None,
        **logits_to_keep(model, nodes + 1),
    ).logits[:, -nodes - 1 :]
    return _sum_paths(logits, trees)


def _visible(longest: int, lengths: Sequence[int], trees: Sequence[LabelTree]) -> torch.Tensor:
    """The attention mask: questions × tokens × tokens, with prompts that end at `longest`."""
    import torch

    length = longest + max(map(len, trees))
    positions = torch.arange(length)
    starts = longest - torch.tensor(lengths)
    visible = (positions[:, None] >= positions) & (positions >= starts[:, None, None])
    visible[:, longest:, longest:] = False
    for tree in {id(tree): tree for tree in trees}.values():
        branches = longest + torch.tensor(tree.branches, dtype=torch.long).reshape(-1, 2)
        rows = torch.tensor([row for row, other in enumerate(trees) if other is tree])
        visible[rows[:, None], branches[:, 0], branches[:, 1]] = True
    visible[:, positions, positions] = True  # padding too: softmax over nothing is NaN
    return visible


def _sum_paths(logits: torch.Tensor, trees: Sequence[LabelTree]) -> torch.Tensor:
    """Sum each label's path; position 0 is the prompt's last token, 1 + n the tree's node n."""
    import torch

    steps = [tree.steps for tree in trees]
    rows = torch.arange(len(trees)).repeat_interleave(torch.tensor(list(map(len, steps))))
    flat_steps = torch.tensor(list(chain.from_iterable(steps)))
    nodes, tokens, labels = flat_steps.to(logits.device).unbind(1)
    logprobs = logits.float().log_softmax(-1)[rows.to(logits.device), nodes, tokens]
    sums = torch.zeros(len(trees), len(trees[0].paths), device=logits.device)
    return sums.index_put_((rows, labels), logprobs, accumulate=True)


def with_cache(prefix: PrefixCache, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """One pass for each prompt, one for its labels; see the module's docstring."""
    import torch

    return torch.stack([_label_by_label(prefix, padding, question) for question in questions])


def _label_by_label(prefix: PrefixCache, padding: int, question: Question) -> torch.Tensor:
    import torch

    model = prefix.model
    output = model(
        input_ids=tensor([prefix.rest(question.context)], model),
        past_key_values=prefix.for_batch(1),
        use_cache=True,
        **logits_to_keep(model, 1),
    )
    first = output.logits[:, -1:]
    answers = [question.tree.answer(label) for label in range(len(question.tree.paths))]
    length = max(map(len, answers)) - 1
    logits = first.expand(len(answers), -1, -1)
    if length:
        cache = output.past_key_values
        cache.batch_repeat_interleave(len(answers))
        # padded on the right, where no label token sees it
        ids = [[*tokens[:-1], *[padding] * (length - len(tokens) + 1)] for tokens in answers]
        rest = model(input_ids=tensor(ids, model), past_key_values=cache, use_cache=True).logits
        logits = torch.cat((logits, rest), dim=1)
    return _sum_answers(logits, answers)


def one_by_one(model: Any, padding: int, questions: Sequence[Question]) -> torch.Tensor:
    """A pass for each label; see the module's docstring."""
    import torch

    sums = []
    for label in range(len(questions[0].tree.paths)):
        answers = [question.tree.answer(label) for question in questions]
        sequences = [
            [*question.context, *answer[:-1]]
            for question, answer in zip(questions, answers, strict=True)
        ]
        batch = {
            name: tensor.to(model.device)
            for name, tensor in batching.pad(sequences, padding).items()
        }
        logits = model(**batch, use_cache=False).logits
        # counted from the end: prompt tuning puts virtual tokens in front
        length = batch["input_ids"].shape[1]
        starts = [len(question.context) - 1 - length for question in questions]
        rows = [
            logits[row, start : start + len(answer) or None]
            for row, (start, answer) in enumerate(zip(starts, answers, strict=True))
        ]
        sums.append(
            torch.stack(
                [
                    _sum_answers(row[None], [answer])[0]
                    for row, answer in zip(rows, answers, strict=True)
                ]
            )
        )
    return torch.stack(sums, dim=1)


def _sum_answers(logits: torch.Tensor, answers: Sequence[Sequence[int]]) -> torch.Tensor:
    """Sum each row's own answer, whose first token is predicted at the row's first position."""
    import torch

    logprobs = logits.float().log_softmax(-1)
    return torch.stack(
        [
            logprobs[row, torch.arange(len(answer)), torch.tensor(answer)].sum()
            for row, answer in enumerate(answers)
        ]
    )
