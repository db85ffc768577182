"""Label log-likelihoods: how probable each label is as the answer to a prompt.

Prompt and label are parted as EleutherAI's lm-evaluation-harness parts them, and a score is the sum
that its `loglikelihood` gives. A prompt is run once for all its labels where the architecture can;
see `passes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tunebench import batching, tokenization
from tunebench.beginning import Beginning
from tunebench.errors import EvaluationError
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.scoring import passes
from tunebench.scoring.passes import Question
from tunebench.scoring.tree import LabelTree
from tunebench.tokenization import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Scores = list[list[float]]  # prompts × labels: sums of log-probabilities (nats)
Pass = Callable[[Sequence[Question]], Scores]

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
        batch_tokens: how many tokens, padding included, go through the model at once at most;
            halved where memory ends.

    Raises:
        EvaluationError: if a score is not finite.
    """
    asked = questions(tokenizer, prompts, labels)
    run = fastest_pass(model, tokenization.pad_id(tokenizer), asked)
    scores: Scores = [[] for _ in asked]
    lengths = [question.length for question in asked]
    at_once = batching.at_once(model, batch_tokens)

    def work(indices: Sequence[int]) -> Scores:
        return run([asked[index] for index in indices])

    with bar(total=len(prompts), unit="prompt") as progress:
        for indices, found in batching.within_budget(lengths, at_once, work):
            for index, row in zip(indices, found, strict=True):
                scores[index] = row
            progress.update(len(indices))
    for prompt, row in zip(prompts, scores, strict=True):
        if not all(map(math.isfinite, row)):
            raise EvaluationError(
                f"row {prompt.id}: the model's log-probabilities are not finite; its weights are"
                " broken, or their dtype is too narrow (try dtype: float32)"
            )
    return scores


def fastest_pass(
    model: PreTrainedModel, padding: int, asked: Sequence[Question], *, share: bool = True
) -> Pass:
    """The fastest of the ways to score these questions that gives the right scores.

    Not every architecture takes a mask of one's own, positions that begin again, or a cache that
    is copied. So the longest prompt is scored for a few labels in the plain way too.

    Args:
        share: whether what all prompts begin with is run once for all of them.
    """
    import torch

    def pass_of(way: Callable[..., torch.Tensor], subject: object) -> Pass:
        def run(questions: Sequence[Question]) -> Scores:
            with torch.inference_mode():
                return way(subject, padding, questions).tolist()

        run.__name__ = way.__name__
        return run

    model.eval()
    plain = pass_of(passes.one_by_one, model)
    contexts = [question.context for question in asked]
    trial = [_shortened(max(asked, key=lambda question: question.length))]
    (right,) = plain(trial)
    for way in (passes.as_tree, passes.with_cache):
        try:
            with torch.inference_mode():
                run = pass_of(way, Beginning.of(model, contexts, share=share))
            (found,) = run(trial)
        except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError):
            continue  # this architecture does not take what the faster way hands it
        tolerance = TOLERANCE[str(model.dtype).removeprefix("torch.")]
        if all(abs(ours - theirs) <= tolerance for ours, theirs in zip(found, right, strict=True)):
            return run
    return plain


def questions(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str]
) -> list[Question]:
    """Each prompt with the tree of its labels."""
    contexts, answers = tokenization.encode_choices(
        tokenizer,
        [prompt.shown for prompt in prompts],
        [[prompt.answered(label) for label in labels] for prompt in prompts],
    )
    trees = {key: LabelTree.of(key) for key in set(answers)}
    return [Question(context, trees[key]) for context, key in zip(contexts, answers, strict=True)]


def _shortened(question: Question) -> Question:
    """The question with a few of its labels, the longest."""
    answers = [[token for _, token in path] for path in question.tree.paths]
    longest = sorted(answers, key=len, reverse=True)[:TRIED_LABELS]
    return Question(question.context, LabelTree.of(longest))
