"""One model's answers to the test prompts, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench import generation, memory, metrics, models, results, scoring, statistics
from tunebench.config.options import Options
from tunebench.prompts import DoesNotFit, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.tokenization import Tokenizer


@dataclass(frozen=True)
class Answering:
    """How answers are read: labels scored where there are any, else text generated.

    `generation` holds GenerationConfig fields.
    """

    labels: Sequence[str]
    batch_tokens: int
    generation: Options


@dataclass(frozen=True)
class Outcome:
    """Metrics, and one record for each test row."""

    metrics: results.Metrics
    predictions: list[dict[str, Any]]


def evaluate(
    base: models.Base,
    method: models.Method,
    prompts: Sequence[Prompt] | DoesNotFit,
    how: Answering,
    *,
    trained: Path | None,
) -> Outcome:
    """Answer every prompt with the untouched or the trained model, and judge the answers."""
    if isinstance(prompts, DoesNotFit):
        return Outcome(prompts.metrics(), [])
    tokenizer = models.load_tokenizer(base)
    loaded = models.load(base, method, trained=trained)
    started = perf_counter()
    answer = _score if how.labels else _write
    predictions = answer(loaded, tokenizer, prompts, how)
    seconds = perf_counter() - started
    gold, answers = ([row[key] for row in predictions] for key in ("gold", "answer"))
    measured = quality(gold, answers, labelled=bool(how.labels)) | {
        "rows": len(prompts),
        "rows_cut": sum(prompt.cut for prompt in prompts),
        "evaluate_s": results.rounded(seconds, 4),
        "peak_memory_bytes": memory.peak_bytes(),
    }
    if not how.labels:
        written = [row["tokens_out"] for row in predictions]
        measured["output_tokens_mean"] = results.rounded(sum(written) / len(written), 4)
    return Outcome(measured, predictions)


def quality(gold: Sequence[str], answers: Sequence[str], *, labelled: bool) -> results.Metrics:
    """What the answers are worth: each metric, and the ends of its 95% interval.

    An interval stands beside its metric: `accuracy`, `accuracy_low`, `accuracy_high`.
    """
    if labelled:
        found = metrics.classification(gold, answers)
        intervals = statistics.of_confusion(gold, answers)
    else:
        rows = metrics.rouge(gold, answers)
        found, intervals = metrics.means(rows), statistics.of_means(rows)
    return {
        name: results.rounded(number)
        for metric, value in found.items()
        for name, number in zip(
            (metric, *metrics.interval(metric)), (value, *intervals[metric]), strict=True
        )
    }


def _score(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], how: Answering
) -> list[dict[str, Any]]:
    scores = scoring.score(model, tokenizer, prompts, how.labels, batch_tokens=how.batch_tokens)
    return [
        {
            "id": prompt.id,
            "answer": how.labels[max(range(len(row)), key=row.__getitem__)],
            "gold": prompt.label,
            "scores": {
                label: round(value, 5) for label, value in zip(how.labels, row, strict=True)
            },
            "tokens_in": prompt.tokens,
            "prompt": prompt.prompt,
        }
        for prompt, row in zip(prompts, scores, strict=True)
    ]


def _write(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], how: Answering
) -> list[dict[str, Any]]:
    texts = generation.generate(
        model, tokenizer, prompts, how.generation, batch_tokens=how.batch_tokens
    )
    return [
        {
            "id": prompt.id,
            "answer": text.text,
            "gold": prompt.gold,
            "tokens_in": prompt.tokens,
            "tokens_out": text.tokens,
            "prompt": prompt.prompt,
        }
        for prompt, text in zip(prompts, texts, strict=True)
    ]
