"""Metrics of the answers under load, judged like any prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunebench import evaluation, metrics, results
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt
from tunebench.serving.asking import Chosen, Written
from tunebench.serving.load import Request


def judge(
    requests: Sequence[Request],
    prompts: Sequence[Prompt],
    answering: Answering,
    asked: Written | Chosen,
    evaluated: Mapping[str, Any],
) -> tuple[results.Metrics, list[dict[str, Any]]]:
    """The quality of the first answer to each prompt, and how many differ from the evaluation's.

    Args:
        asked: what the server was asked for.
        evaluated: the evaluation's answer by prompt id.

    Returns:
        `rows`, the metrics as `evaluate` names them, and `answers_that_differ`, a fraction; then
        the answers as predictions. Both are empty if nothing was answered.
    """
    settings = answering.settings.model_copy(update={"mode": "generate"})
    answering = replace(answering, settings=settings, generation=asked.generation)
    written = asked.answered_by == "written"
    first: dict[int, Request] = {}
    for request in requests:
        if not request.error:
            first.setdefault(request.prompt, request)
    predictions = [
        {"id": prompts[index].id, "gold": _gold(prompts[index])}
        | asked.read(prompts[index], request.text.strip())
        | {"tokens_in": request.tokens_in, "tokens_out": request.tokens_out or 0}
        | ({"ended": _is_complete(request, answering)} if written else {})
        for index, request in sorted(first.items())
    ]
    if not predictions:
        return {}, []
    different = [
        _comparable(row["answer"]) != _comparable(evaluated.get(row["id"])) for row in predictions
    ]
    return {
        "rows": len(predictions),
        **evaluation.judge(predictions, answering),
        **(evaluation.at_limit(predictions, answering) if written else {}),
        **metrics.means({"answers_that_differ": different}),
    }, predictions


def _comparable(answer: str | None) -> str | None:
    """The answer without a character cut in two by `max_new_tokens`, which streams hold back."""
    return answer and answer.rstrip("\ufffd").rstrip()


def _gold(prompt: Prompt) -> str:
    return prompt.gold if prompt.label is None else prompt.label


def _is_complete(request: Request, answering: Answering) -> bool:
    """Whether the answer ended before `max_new_tokens`, if the server counts tokens."""
    limit = answering.generation.get("max_new_tokens")
    return limit is None or request.tokens_out is None or request.tokens_out < limit
