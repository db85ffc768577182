"""What the answers that came back under load are worth, judged like any prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunebench import evaluation, metrics, results
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt
from tunebench.prompts.encoding import Around
from tunebench.serving.load import Request


def judge(
    requests: Sequence[Request],
    prompts: Sequence[Prompt],
    how: Answering,
    around: Around,
    evaluated: Mapping[str, Any],
) -> tuple[results.Metrics, list[dict[str, Any]]]:
    """The quality of the answers, one for each prompt, and how many differ from the evaluated.

    Args:
        around: what the template writes around an answer.
        evaluated: the evaluation's answer by the prompt's id.

    Returns:
        `rows`, the metrics as `evaluate` names them, and `answers_that_differ`, a fraction; and the
        answers themselves as predictions. Both empty where nothing was answered.
    """
    how = replace(how, settings=how.settings.model_copy(update={"mode": "generate"}))
    first: dict[int, Request] = {}
    for request in requests:
        if not request.error:
            first.setdefault(request.prompt, request)
    predictions = [
        {"id": prompts[index].id, "gold": _gold(prompts[index])}
        | evaluation.read(request.text.strip(), around, how)
        | {"tokens_in": request.tokens_in, "tokens_out": request.tokens_out or 0}
        | {"ended": _ended(request, how)}
        for index, request in sorted(first.items())
    ]
    if not predictions:
        return {}, []
    differ = [_whole(row["answer"]) != _whole(evaluated.get(row["id"])) for row in predictions]
    return {
        "rows": len(predictions),
        **evaluation.judge(predictions, how),
        **evaluation.at_limit(predictions, how),
        **metrics.means({"answers_that_differ": differ}),
    }, predictions


def _whole(answer: str | None) -> str | None:
    """Without the character that a limit of tokens cut in two, which streams hold back."""
    return answer and answer.rstrip("\ufffd").rstrip()


def _gold(prompt: Prompt) -> str:
    return prompt.gold if prompt.label is None else prompt.label


def _ended(request: Request, how: Answering) -> bool:
    """Whether the answer ended before the limit of tokens, where the server counts them."""
    most = how.generation.get("max_new_tokens")
    return most is None or request.tokens_out is None or request.tokens_out < most
