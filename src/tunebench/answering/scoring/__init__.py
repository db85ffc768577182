"""Label log-likelihoods: how probable each label is as the answer to a prompt.

A score is the sum of the log-probabilities of a label's tokens, as in `loglikelihood` of
EleutherAI's lm-evaluation-harness, with two differences. If one label is a prefix of another, the
end of the answer is scored too (`label_end: never` omits it, as the harness does). And newlines at
a prompt's end belong to the prompt, as in generation; the harness scores them with each label,
which adds the same to all.

If the architecture supports it, a prompt is run once for all its labels; see `passes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from tunebench.answering.prefix_cache import PrefixCache
from tunebench.answering.resuming import Finished, resumed
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

PassFunction = Callable[[Any, int, Sequence[Question]], "torch.Tensor"]
Scores = list[list[float]]  # prompts × labels: sums of log-probabilities (nats)
LabelEnd = Literal["where_needed", "always", "never"]

# how far the sums of two passes may differ (nats) and still count as the same
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}
TRIED_LABELS = 3


@dataclass(frozen=True)
class Pass:
    """A function of `passes`, with the model that it runs."""

    function: PassFunction
    model: PreTrainedModel | PrefixCache
    padding: int

    def __call__(self, questions: Sequence[Question]) -> Scores:
        """The scores of a batch: questions × labels."""
        import torch

        with torch.inference_mode():
            return self.function(self.model, self.padding, questions).tolist()

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def shared_tokens(self) -> int:
        """Length of the shared prefix, which was run once for all prompts."""
        return self.model.tokens if isinstance(self.model, PrefixCache) else 0


def score(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    batch_tokens: int,
    label_end: LabelEnd = "where_needed",
    finished: Finished[float] | None = None,
) -> Scores:
    """The score of each label as each prompt's answer: prompts × labels.

    Args:
        label_end: see `questions`.
        batch_tokens: the most tokens in a batch, padding included; halved if memory runs out.
        finished: see `resuming`.

    Raises:
        EvaluationError: if a score is not finite.
    """
    all_questions = questions(tokenizer, prompts, labels, label_end=label_end)
    run = fastest_pass(model, tokenization.pad_id(tokenizer, model.config), all_questions)
    scores: Scores = [[] for _ in all_questions]
    # on a CPU smaller batches are faster; the shared prefix is not run again, so it costs nothing
    cost = max(1, batch_tokens // batching.at_once(model, batch_tokens))
    sizes = [
        max(question.length, cost * (question.length - run.shared_tokens))
        for question in all_questions
    ]

    def work(indices: list[int]) -> Scores:
        return run([all_questions[index] for index in indices])

    with bar(total=len(prompts), unit="prompt") as progress:
        for indices, batch_scores in memory.within_budget(
            sizes, batch_tokens, resumed(work, finished)
        ):
            for index, row in zip(indices, batch_scores, strict=True):
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
    model: PreTrainedModel, padding: int, questions: Sequence[Question], *, share: bool = True
) -> Pass:
    """The fastest pass that gives these questions the right scores.

    Not every architecture supports a custom attention mask, restarting position ids or a copied
    KV cache. So each pass is compared with `one_by_one`, on the longest prompt and a few labels.

    Args:
        share: whether the shared prefix of all prompts is run once for all of them.
    """
    import torch

    model.eval()
    plain = Pass(passes.one_by_one, model, padding)
    contexts = [question.context for question in questions]
    trial = [_with_few_labels(max(questions, key=lambda question: question.length))]
    (expected,) = plain(trial)
    tolerance = TOLERANCE[str(model.dtype).removeprefix("torch.")]

    def attempt(function: PassFunction) -> tuple[Pass, Scores]:
        with torch.inference_mode():
            run = Pass(function, PrefixCache.of(model, contexts, share=share), padding)
        return run, run(trial)

    for function in (passes.as_tree, passes.with_cache):
        result = shortcuts.unless_refused(partial(attempt, function))
        if result is not None:
            run, (trial_scores,) = result
            pairs = zip(trial_scores, expected, strict=True)
            if all(abs(score - expected_score) <= tolerance for score, expected_score in pairs):
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
        label_end: whether a label is scored with the end-of-answer tokens that it has in training.
            `where_needed` adds them to all labels if one is a prefix of another in tokens: without
            an end, the longer one could never be more probable.
    """
    contexts, answers = _encoded(tokenizer, prompts, labels, label_end)
    trees = {key: LabelTree.of(key) for key in set(answers)}
    return [Question(context, trees[key]) for context, key in zip(contexts, answers, strict=True)]


def _encoded(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str], label_end: LabelEnd
) -> tuple[list[Ids], list[tuple[Ids, ...]]]:
    if label_end != "where_needed":
        return encoding.answers(tokenizer, prompts, labels, ended=label_end == "always")
    for sample in (prompts[:1], prompts):  # the first prompt usually shows it, without the others
        contexts, answers = encoding.answers(tokenizer, sample, labels, ended=False)
        if any(map(encoding.one_begins_another, set(answers))):
            return encoding.answers(tokenizer, prompts, labels, ended=True)
        if len(sample) == len(prompts):
            break
    return contexts, answers


def _with_few_labels(question: Question) -> Question:
    """The question with its few longest labels."""
    answers = [question.tree.answer(label) for label in range(len(question.tree.paths))]
    longest = sorted(answers, key=len, reverse=True)[:TRIED_LABELS]
    return Question(question.context, LabelTree.of(longest))
