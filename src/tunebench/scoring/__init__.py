"""Label log-likelihoods: how probable each label is as the answer to a prompt.

A score is the sum of the log-probabilities of a label's tokens, as EleutherAI's
lm-evaluation-harness sums them in `loglikelihood`. It differs in two points. Where one label begins
another, the end of the answer is scored too (`label_end: never` leaves it out, as the harness
does). And line ends at a prompt's end stay with the prompt, since a model that writes sees them
there; the harness scores them with each label, which adds the same to all.

A prompt is run once for all its labels where the architecture can; see `passes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from tunebench import batching, encoding, tokenization
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
LabelEnd = Literal["where_needed", "always", "never"]
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
    label_end: LabelEnd = "where_needed",
) -> Scores:
    """The score of each label as each prompt's answer: prompts × labels.

    Args:
        label_end: see `questions`.
        batch_tokens: how many tokens, padding included, go through the model at once at most;
            halved where memory ends.

    Raises:
        EvaluationError: if a score is not finite.
    """
    asked = questions(tokenizer, prompts, labels, label_end=label_end)
    run = fastest_pass(model, tokenization.pad_id(tokenizer, model.config), asked)
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
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    label_end: LabelEnd = "where_needed",
) -> list[Question]:
    """Each prompt with the tree of its labels.

    Args:
        label_end: whether a label is scored with the end that training teaches behind it.
            `where_needed` is for all labels where the tokens of one begin those of another, which
            would else be the less probable whatever a model knows.
    """
    contexts, answers = encoding.answers(tokenizer, prompts, labels, ended=label_end == "always")
    if label_end == "where_needed" and any(map(encoding.one_begins_another, set(answers))):
        contexts, answers = encoding.answers(tokenizer, prompts, labels, ended=True)
    trees = {key: LabelTree.of(key) for key in set(answers)}
    return [Question(context, trees[key]) for context, key in zip(contexts, answers, strict=True)]


def _shortened(question: Question) -> Question:
    """The question with a few of its labels, the longest."""
    answers = [question.tree.answer(label) for label in range(len(question.tree.paths))]
    longest = sorted(answers, key=len, reverse=True)[:TRIED_LABELS]
    return Question(question.context, LabelTree.of(longest))
