"""One model's answers to the test prompts, and what they are worth.

- `selection`: which epoch of a tuned run is tested
- `forgetting`: what tuning cost on text of another domain
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench import metrics, models, results
from tunebench.answering import generation, scoring
from tunebench.config.options import Options
from tunebench.config.schema import Evaluation
from tunebench.errors import EvaluationError
from tunebench.metrics import statistics
from tunebench.models import memory, outcomes
from tunebench.prompts import DoesNotFit, Prompt, encoding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.prompts.tokenization import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answering:
    """How answers are read; `labels` are empty where the task is to write.

    `settings` are `evaluation` of params.yaml, `generation` the data set's GenerationConfig fields.
    """

    labels: Sequence[str]
    settings: Evaluation
    generation: Options

    @property
    def scored(self) -> bool:
        """Whether labels are scored, and not written."""
        return bool(self.labels) and self.settings.mode == "score"

    def limited(self, prompts: Sequence[Prompt]) -> Answering:
        """The same with a limit of tokens: what the prompts keep free, where none is set."""
        given = {key: value for key, value in self.generation.items() if value is not None}
        limit = {"max_new_tokens": prompts[0].answer_tokens}
        return replace(self, generation=limit | given)

    @property
    def task(self) -> str:
        """As `datasets.<d>.task` names it."""
        return "classification" if self.labels else "summarization"


@dataclass(frozen=True)
class Outcome:
    """Metrics, one record for each test row, and the folder of the tuned model that answered."""

    metrics: results.Metrics
    predictions: list[dict[str, Any]]
    trained: Path | None = None


def evaluate(
    base: models.Base,
    method: models.Method,
    how: Answering,
    prompts: Sequence[Prompt] | DoesNotFit,
    trained: Path | None = None,
) -> Outcome:
    """Answer every prompt with the untouched or the trained model, and judge the answers.

    Where examples do not fit, training left no model, or memory ends, the metrics say so, and there
    are no predictions.

    Raises:
        EvaluationError: if there is nothing to answer.
    """
    if isinstance(prompts, DoesNotFit):
        return Outcome(prompts.metrics(), [])
    if not prompts:
        raise EvaluationError("there are no rows to answer; give the data set test rows")
    if failed := outcomes.failure(trained):
        return Outcome(failed, [], trained)
    outcome = memory.unless_exhausted(partial(_evaluate, base, method, how, prompts, trained))
    return outcome or Outcome(outcomes.out_of_memory(), [], trained)


def _evaluate(
    base: models.Base,
    method: models.Method,
    how: Answering,
    prompts: Sequence[Prompt],
    trained: Path | None,
) -> Outcome:
    how = how.limited(prompts)
    tokenizer = models.load_tokenizer(base)
    loaded = models.load(base, method, trained=trained)
    started = perf_counter()
    answer = _score if how.scored else _write
    answers = answer(loaded, tokenizer, prompts, how)
    seconds = perf_counter() - started
    predictions = [_asked(prompt) | given for prompt, given in zip(prompts, answers, strict=True)]
    measured = judge(predictions, how) | {
        "rows": len(prompts),
        "rows_cut": sum(prompt.cut for prompt in prompts),
        "evaluate_s": results.rounded(seconds, 4),
        "peak_memory_bytes": memory.peak_bytes(),
    }
    if not how.scored:
        measured |= at_limit(predictions, how)
    return Outcome(measured, predictions, trained)


def judge(predictions: Sequence[dict[str, Any]], how: Answering) -> results.Metrics:
    """What the answers are worth: each metric, and beside it the ends of its 95% interval.

    `accuracy` stands with `accuracy_low` and `accuracy_high`. Each summary's own ROUGE is added to
    its prediction.
    """
    gold, answers = ([row[key] for row in predictions] for key in ("gold", "answer"))
    further: results.Metrics = {}
    if how.labels:
        found = metrics.classification(gold, answers, labels=how.labels)
        intervals = statistics.of_confusion(gold, answers)
        if "macro_f1" not in found:
            further["undefined"] = "macro_f1: the test rows have one label only"
        each = metrics.per_class(gold, answers, labels=how.labels)
        further |= {"per_class": each} | _of_labels(predictions, how)
    else:
        rows = metrics.rouge(gold, answers)
        for index, row in enumerate(predictions):
            row["rouge"] = {name: results.rounded(rows[name][index]) for name in rows}
        found, intervals = metrics.means(rows), statistics.of_means(rows)
        further["rouge_tokenization"] = metrics.rouge_tokenization(gold)
    if not how.scored:
        further |= metrics.means({"output_tokens_mean": [row["tokens_out"] for row in predictions]})
    named = {
        name: number
        for metric, value in found.items()
        for name, number in zip(
            (metric, *metrics.interval(metric)), (value, *intervals[metric]), strict=True
        )
    }
    return results.rounded_all(named | further)


def _of_labels(predictions: Sequence[dict[str, Any]], how: Answering) -> results.Metrics:
    """What only scored, or only written, labels tell."""
    gold = [row["gold"] for row in predictions]
    if how.scored:
        return metrics.calibration([_deciding(row) for row in predictions], gold)
    return metrics.means(
        {
            "accuracy_strict": [
                row["strict"] and row["answer"] == row["gold"] for row in predictions
            ],
            "no_label": [row["answer"] is None for row in predictions],
        }
    )


def _deciding(row: dict[str, Any]) -> dict[str, float]:
    """The scores by which the answer was chosen."""
    return dict(row.get("scores_normalized") or row["scores"])


def _asked(prompt: Prompt) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "prompt_sha256": sha256(prompt.prompt.encode()).hexdigest(),
        "prompt": prompt.prompt,
        "gold": prompt.gold if prompt.label is None else prompt.label,
        "tokens_in": prompt.tokens,
    }


def _score(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], how: Answering
) -> list[dict[str, Any]]:
    settings = how.settings
    scores = scoring.score(
        model,
        tokenizer,
        prompts,
        how.labels,
        batch_tokens=settings.batch_tokens,
        label_end=settings.label_end,
    )
    if settings.label_normalization == "none":
        return [_chosen(row, how.labels) for row in scores]
    if settings.label_normalization == "bytes":
        lengths = [[len(label.encode()) for label in how.labels]] * len(prompts)
    else:
        asked = scoring.questions(tokenizer, prompts, how.labels, label_end=settings.label_end)
        lengths = [[len(path) for path in question.tree.paths] for question in asked]
    return [
        _chosen(row, how.labels, [score / length for score, length in zip(row, own, strict=True)])
        for row, own in zip(scores, lengths, strict=True)
    ]


def _chosen(
    scores: Sequence[float], labels: Sequence[str], normalized: Sequence[float] | None = None
) -> dict[str, Any]:
    deciding = scores if normalized is None else normalized
    found: dict[str, Any] = {
        "answer": labels[max(range(len(labels)), key=deciding.__getitem__)],
        "scores": {label: round(score, 5) for label, score in zip(labels, scores, strict=True)},
    }
    if normalized is not None:
        pairs = zip(labels, normalized, strict=True)
        found["scores_normalized"] = {label: round(score, 5) for label, score in pairs}
    return found


def _write(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], how: Answering
) -> list[dict[str, Any]]:
    texts = generation.generate(
        model, tokenizer, prompts, how.generation, batch_tokens=how.settings.batch_tokens
    )
    around = encoding.Around.of(tokenizer, prompts[0])
    return [
        read(text.text, around, how) | {"tokens_out": text.tokens, "ended": text.ended}
        for text in texts
    ]


def read(text: str, around: encoding.Around, how: Answering) -> dict[str, Any]:
    """The answer in a text that a model wrote: a label, None where it is none, or the text."""
    answer = around.take_off(text)
    if not how.labels:
        return {"answer": answer}
    label, strict = metrics.match(answer, how.labels)
    return {"answer": label, "strict": strict, "text": text}


def at_limit(predictions: Sequence[dict[str, Any]], how: Answering) -> results.Metrics:
    """What share of the answers the limit of tokens cut off, told too where it is a summary's."""
    share = metrics.means({"answers_at_limit": [not row["ended"] for row in predictions]})
    most = how.generation.get("max_new_tokens")
    if share["answers_at_limit"] and not how.labels:
        log.warning(
            "%.1f%% of the answers were cut off at %s new tokens; generation.max_new_tokens sets"
            " another limit",
            100 * share["answers_at_limit"],
            most,
        )
    return share | ({"max_new_tokens": most} if most else {})
