"""Label log-likelihoods: how probable each label is as the answer to a prompt.

Prompt and label are parted as EleutherAI's lm-evaluation-harness parts them, and a score is the sum
that its `loglikelihood` gives. A prompt is run once for all its labels where the architecture can;
see `passes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tunebench import batching, tokenization
from tunebench.errors import EvaluationError
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.scoring import passes
from tunebench.scoring.passes import Beginning, Question
from tunebench.scoring.tree import LabelTree
from tunebench.tokenization import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Scores = list[list[float]]  # prompts × labels: sums of log-probabilities (nats)
Pass = Callable[[Sequence[Question]], "torch.Tensor"]

# how far two ways of computing a sum may lie apart (nats) and still be the same
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}
TRIED_LABELS = 3


def score(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    batch_tokens: int,
) -> Scores:
    """The score of each label as each prompt's answer: prompts × labels.

    Args:
        batch_tokens: how many tokens, padding included, go through the model at once; halved
            where memory ends.

    Raises:
        EvaluationError: if a score is not finite.
    """
    scorer = Scorer.of(model, tokenizer, prompts, labels)
    with bar(total=len(prompts), unit="prompt") as progress:
        return scorer.score(prompts, batch_tokens=batch_tokens, done=progress.update)


@dataclass(frozen=True)
class Scorer:
    """A model, its labels, and the fastest of the ways that score them rightly."""

    tokenizer: Tokenizer
    labels: Sequence[str]
    run: Pass

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        share: bool = True,
    ) -> Scorer:
        """The scorer of some prompts.

        Not every architecture takes a mask of one's own, positions that begin again, or a cache
        that is copied. So the longest prompt is scored for a few labels in the plain way too, and
        a faster way serves if it gives the same.

        Args:
            share: whether what all prompts begin with is run once for all of them.
        """
        import torch

        asked = questions(tokenizer, prompts, labels)
        padding = tokenization.pad_id(tokenizer)
        model.eval()
        plain: Pass = partial(passes.one_by_one, model, padding)
        trial = [_shortened(max(asked, key=lambda question: question.length))]
        with torch.inference_mode():
            right = plain(trial)
            for candidate in (passes.as_tree, passes.with_cache):
                try:
                    beginning = Beginning.of(model, asked, share=share)
                    run: Pass = partial(candidate, beginning, padding)
                    difference = float((run(trial) - right).abs().max())
                except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError):
                    continue  # this architecture does not take what the faster way hands it
                if difference <= TOLERANCE[str(model.dtype).removeprefix("torch.")]:
                    return cls(tokenizer, labels, run)
        return cls(tokenizer, labels, plain)

    def score(
        self,
        prompts: Sequence[Prompt],
        *,
        batch_tokens: int,
        done: Callable[[int], object] = lambda _: None,
    ) -> Scores:
        """The score of each label as each prompt's answer; see `score`.

        Args:
            done: called with the number of prompts, after each batch.
        """
        import torch

        asked = questions(self.tokenizer, prompts, self.labels)
        scores: Scores = [[] for _ in asked]

        def work(indices: Sequence[int]) -> Scores:
            return self.run([asked[index] for index in indices]).tolist()

        lengths = [question.length for question in asked]
        with torch.inference_mode():
            for indices, found in batching.within_budget(lengths, batch_tokens, work):
                for index, row in zip(indices, found, strict=True):
                    scores[index] = row
                done(len(indices))
        for prompt, row in zip(prompts, scores, strict=True):
            if not all(map(math.isfinite, row)):
                raise EvaluationError(
                    f"row {prompt.id}: the model's log-probabilities are not finite; its weights"
                    " are broken, or their dtype is too narrow (try dtype: float32)"
                )
        return scores


def questions(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str]
) -> list[Question]:
    """Each prompt with the tree of its labels."""
    trees: dict[tuple[tuple[int, ...], ...], LabelTree] = {}
    asked = []
    pairs = [(prompt.shown, prompt.answered(label)) for prompt in prompts for label in labels]
    encoded = iter(tokenization.encode_pairs(tokenizer, pairs))
    for _ in prompts:
        contexts, answers = zip(*(next(encoded) for _ in labels), strict=True)
        key = tuple(map(tuple, answers))
        if key not in trees:
            trees[key] = LabelTree.of(key)
        asked.append(Question(tuple(contexts[0]), trees[key]))
    return asked


def _shortened(question: Question) -> Question:
    """The question with a few of its labels, the longest."""
    answers = [[token for _, token in path] for path in question.tree.paths]
    longest = sorted(answers, key=len, reverse=True)[:TRIED_LABELS]
    return Question(question.context, LabelTree.of(longest))
