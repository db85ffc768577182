"""A prompting method with several draws of solved examples: each is a run of its own."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.evaluation import Outcome
from tunebench.evaluation.selection import Answer
from tunebench.prompts import DoesNotFit, Prompt


def evaluate(answer: Answer, draws: Sequence[Sequence[Prompt]] | DoesNotFit) -> Outcome:
    """Judge the answers of the base model to the test prompts with each draw.

    Returns:
        With several draws, the metrics of each under `draws`, and predictions that hold their
        `draw`; the first outcome without a score, if there is one.
    """
    if isinstance(draws, DoesNotFit):
        return answer(draws, None)
    found = [answer(prompts, None) for prompts in draws]
    failed = [outcome for outcome in found if not outcome.predictions]
    if failed or len(found) == 1:
        return (failed or found)[0]
    return Outcome(
        {"draws": {str(draw): outcome.metrics for draw, outcome in enumerate(found)}},
        [row | {"draw": draw} for draw, outcome in enumerate(found) for row in outcome.predictions],
    )
