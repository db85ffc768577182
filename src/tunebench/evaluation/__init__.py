"""One model's answers to the test prompts, and their metrics.

- `selection`: which epoch of a tuned run is tested
- `draws`: several draws of a prompting method's solved examples
- `forgetting`: how much tuning raised the loss on text of another domain
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
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
    """How a data set's prompts are answered; `labels` are empty for summarization.

    `settings` is `evaluation` of params.yaml, `generation` the data set's GenerationConfig fields.
    """

    labels: Sequence[str]
    settings: Evaluation
    generation: Options

    @property
    def scored(self) -> bool:
        """Whether labels are scored instead of generated."""
        return bool(self.labels) and self.settings.mode == "score"

    def limited(self, prompts: Sequence[Prompt]) -> Answering:
        """The same with `max_new_tokens`: by default, what the prompts leave for the answer."""
        return replace(self, generation=generation.limited(self.generation, prompts))

    @property
    def task(self) -> str:
        """The task, as in `datasets.<d>.task`."""
        return "classification" if self.labels else "summarization"


@dataclass(frozen=True)
class Outcome:
    """Metrics, a prediction for each test row, and the folder of the tuned model that answered."""

    metrics: results.Metrics
    predictions: list[dict[str, Any]]
    trained: Path | None = None


def evaluate(
    base: models.Base,
    method: models.Method,
    answering: Answering,
    prompts: Sequence[Prompt] | DoesNotFit,
    trained: Path | None = None,
) -> Outcome:
    """Answer every prompt with the base or the tuned model, and judge the answers.

    If the solved examples do not fit, training left no model, or memory runs out, the metrics say
    so and there are no predictions.

    Raises:
        EvaluationError: if there is nothing to answer.
    """
    if isinstance(prompts, DoesNotFit):
        return Outcome(prompts.metrics(), [])
    if not prompts:
        raise EvaluationError("there are no rows to answer; give the data set test rows")
    if failed := outcomes.failure(trained):
        return Outcome(failed, [], trained)
    outcome = memory.unless_exhausted(partial(_evaluate, base, method, answering, prompts, trained))
    return outcome or Outcome(outcomes.out_of_memory(), [], trained)


def _evaluate(
    base: models.Base,
    method: models.Method,
    answering: Answering,
    prompts: Sequence[Prompt],
    trained: Path | None,
) -> Outcome:
    answering = answering.limited(prompts)
    tokenizer = models.load_tokenizer(base)
    loaded = models.load(base, method, trained=trained)
    started = perf_counter()
    answers = answer(loaded, tokenizer, prompts, answering)
    seconds = perf_counter() - started
    predictions = [
        _prompt_fields(prompt) | fields for prompt, fields in zip(prompts, answers, strict=True)
    ]
    measured = judge(predictions, answering) | {
        "rows": len(prompts),
        "rows_cut": sum(prompt.cut for prompt in prompts),
        "evaluate_s": results.rounded(seconds, 4),
        "peak_memory_bytes": memory.peak_bytes(),
    }
    if not answering.scored:
        measured |= at_limit(predictions, answering)
    return Outcome(measured, predictions, trained)


def answer(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    answering: Answering,
    *,
    finished: MutableMapping[int, Any] | None = None,
) -> list[dict[str, Any]]:
    """The answer to each prompt, with its labels' scores or the text that was generated.

    Batches depend on the lengths of all prompts, and so do the last digits of scores: the same
    prompts in the same order have the same answers, bit for bit.

    Args:
        answering: `limited` to the prompts.
        finished: see `answering.resuming`.
    """
    if answering.scored:
        return _score(model, tokenizer, prompts, answering, finished)
    return _generate(model, tokenizer, prompts, answering, finished)


def judge(predictions: Sequence[dict[str, Any]], answering: Answering) -> results.Metrics:
    """Each metric of the answers, with its 95% interval as `accuracy_low` and `accuracy_high`.

    Each summary's own ROUGE is added to its prediction.
    """
    gold, answers = ([row[key] for row in predictions] for key in ("gold", "answer"))
    further: results.Metrics = {}
    if answering.labels:
        scores = metrics.classification(gold, answers, labels=answering.labels)
        intervals = metrics.classification_intervals(gold, answers)
        if "macro_f1" not in scores:
            further["undefined"] = "macro_f1: the test rows have one label only"
        elif note := metrics.narrow_interval(gold, answering.labels):
            further["macro_f1_interval"] = note
        by_label = metrics.per_class(gold, answers, labels=answering.labels)
        further |= {"per_class": by_label} | _label_metrics(predictions, answering)
    else:
        rows = metrics.rouge(gold, answers)
        for index, row in enumerate(predictions):
            row["rouge"] = {name: results.rounded(rows[name][index]) for name in rows}
        scores, intervals = metrics.means(rows), statistics.of_means(rows)
        further["rouge_tokenization"] = metrics.rouge_tokenization(gold)
    if not answering.scored and "tokens_out" in predictions[0]:
        further |= metrics.means({"output_tokens_mean": [row["tokens_out"] for row in predictions]})
    with_intervals = {
        name: number
        for metric, value in scores.items()
        for name, number in zip(
            (metric, *metrics.interval(metric)), (value, *intervals[metric]), strict=True
        )
    }
    return results.rounded_all(with_intervals | further)


def _label_metrics(predictions: Sequence[dict[str, Any]], answering: Answering) -> results.Metrics:
    """Calibration of scored labels; strict accuracy and unreadable answers of generated ones."""
    gold = [row["gold"] for row in predictions]
    if answering.scored:
        return metrics.calibration([deciding_scores(row) for row in predictions], gold)
    return metrics.means(
        {
            "accuracy_strict": [
                row["strict"] and row["answer"] == row["gold"] for row in predictions
            ],
            "no_label": [row["answer"] is None for row in predictions],
        }
    )


def deciding_scores(row: dict[str, Any]) -> dict[str, float]:
    """The scores whose maximum is the answer."""
    return dict(row.get("scores_normalized") or row["scores"])


def _prompt_fields(prompt: Prompt) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "prompt_sha256": sha256(prompt.prompt.encode()).hexdigest(),
        "prompt": prompt.prompt,
        "gold": prompt.gold if prompt.label is None else prompt.label,
        "tokens_in": prompt.tokens,
    }


def _score(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    answering: Answering,
    finished: MutableMapping[int, Any] | None,
) -> list[dict[str, Any]]:
    settings = answering.settings
    scores = scoring.score(
        model,
        tokenizer,
        prompts,
        answering.labels,
        batch_tokens=settings.batch_tokens,
        label_end=settings.label_end,
        finished=finished,
    )
    if settings.label_normalization == "none":
        return [_chosen(row, answering.labels) for row in scores]
    if settings.label_normalization == "bytes":
        lengths = [[len(label.encode()) for label in answering.labels]] * len(prompts)
    else:
        questions = scoring.questions(
            tokenizer, prompts, answering.labels, label_end=settings.label_end
        )
        lengths = [[len(path) for path in question.tree.paths] for question in questions]
    return [
        _chosen(
            row, answering.labels, [score / length for score, length in zip(row, own, strict=True)]
        )
        for row, own in zip(scores, lengths, strict=True)
    ]


def _chosen(
    scores: Sequence[float], labels: Sequence[str], normalized: Sequence[float] | None = None
) -> dict[str, Any]:
    deciding = scores if normalized is None else normalized
    prediction: dict[str, Any] = {
        "answer": labels[max(range(len(labels)), key=deciding.__getitem__)],
        "scores": {label: round(score, 5) for label, score in zip(labels, scores, strict=True)},
    }
    if normalized is not None:
        pairs = zip(labels, normalized, strict=True)
        prediction["scores_normalized"] = {label: round(score, 5) for label, score in pairs}
    return prediction


def _generate(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    answering: Answering,
    finished: MutableMapping[int, Any] | None,
) -> list[dict[str, Any]]:
    texts = generation.generate(
        model,
        tokenizer,
        prompts,
        answering.generation,
        batch_tokens=answering.settings.batch_tokens,
        finished=finished,
    )
    answer_format = encoding.AnswerFormat.of(tokenizer, prompts[0])
    return [
        read(text.text, answer_format, answering) | {"tokens_out": text.tokens, "ended": text.ended}
        for text in texts
    ]


def read(text: str, answer_format: encoding.AnswerFormat, answering: Answering) -> dict[str, Any]:
    """The answer in a generated text: a label (None if it names none), or the text itself."""
    answer = answer_format.extract_answer(text)
    if not answering.labels:
        return {"answer": answer}
    label, strict = metrics.match(answer, answering.labels)
    return {"answer": label, "strict": strict, "text": text}


def at_limit(predictions: Sequence[dict[str, Any]], answering: Answering) -> results.Metrics:
    """The share of answers that `max_new_tokens` cut off; logged too where they are summaries."""
    share = metrics.means({"answers_at_limit": [not row["ended"] for row in predictions]})
    limit = answering.generation.get("max_new_tokens")
    if share["answers_at_limit"] and not answering.labels:
        log.warning(
            "%.1f%% of the answers were cut off at %s new tokens; generation.max_new_tokens sets"
            " another limit",
            100 * share["answers_at_limit"],
            limit,
        )
    return share | ({"max_new_tokens": limit} if limit else {})
