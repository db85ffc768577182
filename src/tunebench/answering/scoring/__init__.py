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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from tunebench.answering.prefix_cache import PrefixCache
from tunebench.answering.scoring import passes
from tunebench.answering.scoring.passes import Question
from tunebench.answering.scoring.tree import LabelTree
from tunebench.errors import EvaluationError
from tunebench.models import memory, shortcuts
from tunebench.progress import bar
from tunebench.prompts import Prompt, batching, encoding, tokenization
from tunebench.prompts.tokenization import Ids, Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Way = Callable[[Any, int, Sequence[Question]], "torch.Tensor"]
Scores = list[list[float]]  # prompts × labels: sums of log-probabilities (nats)
LabelEnd = Literal["where_needed", "always", "never"]

# how far two ways of computing a sum may lie apart (nats) and still be the same
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}
TRIED_LABELS = 3


@dataclass(frozen=True)
class Pass:
    """One of the ways in `passes`, with the model that it is to run."""

    way: Way
    subject: PreTrainedModel | PrefixCache
    padding: int

    def __call__(self, questions: Sequence[Question]) -> Scores:
        """The scores of a batch."""
        import torch

        with torch.inference_mode():
            return self.way(self.subject, self.padding, questions).tolist()

    @property
    def name(self) -> str:
        """What the way is called."""
        return self.way.__name__

    @property
    def shared_tokens(self) -> int:
        """How many tokens of each prompt were run once for all."""
        return self.subject.tokens if isinstance(self.subject, PrefixCache) else 0


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
    # a CPU reads fewer tokens at once than it has memory for, but what is shared it does not read
    cost = max(1, batch_tokens // batching.at_once(model, batch_tokens))
    sizes = [
        max(question.length, cost * (question.length - run.shared_tokens)) for question in asked
    ]

    def work(indices: Sequence[int]) -> Scores:
        return run([asked[index] for index in indices])

    with bar(total=len(prompts), unit="prompt") as progress:
        for indices, found in memory.within_budget(sizes, batch_tokens, work):
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

    model.eval()
    plain = Pass(passes.one_by_one, model, padding)
    contexts = [question.context for question in asked]
    trial = [_shortened(max(asked, key=lambda question: question.length))]
    (right,) = plain(trial)
    tolerance = TOLERANCE[str(model.dtype).removeprefix("torch.")]

    def attempt(way: Way) -> tuple[Pass, Scores]:
        with torch.inference_mode():
            run = Pass(way, PrefixCache.of(model, contexts, share=share), padding)
        return run, run(trial)

    for way in (passes.as_tree, passes.with_cache):
        made = shortcuts.unless_refused(partial(attempt, way))
        if made is not None:
            run, (found,) = made
            pairs = zip(found, right, strict=True)
            if all(abs(ours - theirs) <= tolerance for ours, theirs in pairs):
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
    contexts, answers = _encoded(tokenizer, prompts, labels, label_end)
    trees = {key: LabelTree.of(key) for key in set(answers)}
    return [Question(context, trees[key]) for context, key in zip(contexts, answers, strict=True)]


def _encoded(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str], label_end: LabelEnd
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    if label_end != "where_needed":
        return encoding.answers(tokenizer, prompts, labels, ended=label_end == "always")
    for some in (prompts[:1], prompts):  # the first tells mostly, and spares to encode all twice
        contexts, answers = encoding.answers(tokenizer, some, labels, ended=False)
        if any(map(encoding.one_begins_another, set(answers))):
            return encoding.answers(tokenizer, prompts, labels, ended=True)
        if len(some) == len(prompts):
            break
    return contexts, answers


def _shortened(question: Question) -> Question:
    """The question with a few of its labels, the longest."""
    answers = [question.tree.answer(label) for label in range(len(question.tree.paths))]
    longest = sorted(answers, key=len, reverse=True)[:TRIED_LABELS]
    return Question(question.context, LabelTree.of(longest))
