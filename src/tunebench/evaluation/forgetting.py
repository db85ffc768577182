"""Forgetting: the loss on text of another domain, before and after tuning.

The base model is loaded by itself, in the precision of the tuned one. Disabling the adapter would
not always give it back: PiSSA and OLoRA change the weights beneath.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import models, results
from tunebench.errors import EvaluationError
from tunebench.models import memory, outcomes
from tunebench.models.adapters import virtual_tokens
from tunebench.progress import bar
from tunebench.prompts import batching, tokenization
from tunebench.prompts.tokenization import MarkedText

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

# logits of a batch, tokens × vocabulary: 1 GB in float32
LOGITS = 2**28
# positions whose loss is computed at once, in float32 whatever the model's dtype
POSITIONS = 1024
REMEDY = (
    "lower evaluation.batch_tokens, name a data set with shorter texts under evaluation.forgetting,"
    " or quantize the model"
)


def measure(
    base: models.Base,
    method: models.Method,
    texts: Sequence[str],
    *,
    trained: Path,
    context_length: int | None,
    batch_tokens: int,
) -> results.Metrics:
    """The mean loss on the forgetting texts before and after tuning, and the increase.

    Args:
        trained: the folder that `training.train` wrote.
        context_length: of the model, in tokens. Longer texts are truncated, with room for the
            method's virtual tokens, so that both models see the same text.
        batch_tokens: the most tokens in a batch, padding included; fewer where the vocabulary is
            large.

    Returns:
        `forgetting_loss_before`, `forgetting_loss_after` and `forgetting`, in nats per token; if
        memory ran out, only `forgetting_failed`, which `outcomes.note` reads.

    Raises:
        EvaluationError: if a loss is not finite, or the texts hold no token to predict.
    """

    def losses() -> tuple[float, float]:
        tokenizer = models.load_tokenizer(base)
        budget = min(batch_tokens, max(1, LOGITS // len(tokenizer)))
        tuned = models.load(base, method, trained=trained)
        padding = tokenization.pad_id(tokenizer, tuned.config)
        limit = context_length and max(0, context_length - virtual_tokens(tuned))
        encoded = tokenization.encode_all(tokenizer, list(map(MarkedText.from_row, texts)))
        rows = [ids[:limit] for ids in encoded]
        after = mean_loss(tuned, rows, padding=padding, batch_tokens=budget)
        del tuned  # one model in memory at a time
        untouched = models.load(base, method)
        return mean_loss(untouched, rows, padding=padding, batch_tokens=budget), after

    measured = memory.unless_exhausted(losses)
    if measured is None:
        failed = outcomes.out_of_memory()
        log.warning("forgetting: %s; %s. The evaluation stands.", outcomes.note(failed), REMEDY)
        return {"forgetting_failed": failed}
    before, after = map(results.rounded, measured)
    return {
        "forgetting_loss_before": before,
        "forgetting_loss_after": after,
        "forgetting": round(after - before, 6),  # from the rounded values, so that the three agree
    }


def mean_loss(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], *, padding: int, batch_tokens: int
) -> float:
    """Mean negative log-likelihood (nats) of every token but each row's first.

    Args:
        rows: token ids of each text, within the model's context.
        padding: the id that pads shorter rows.

    Raises:
        EvaluationError: if a text's loss is not finite, or no row has two tokens.
    """
    import torch

    scored = [index for index, row in enumerate(rows) if len(row) > 1]
    if not scored:
        raise EvaluationError(
            "the forgetting texts hold no token to predict; set evaluation.forgetting to a data set"
            " with longer texts"
        )
    model.eval()
    batch_tokens = batching.at_once(model, batch_tokens)
    lengths = [len(rows[index]) for index in scored]
    losses: dict[int, float] = {}

    def work(indices: Sequence[int]) -> list[float]:
        with torch.inference_mode():
            return _losses(model, padding, [rows[scored[index]] for index in indices])

    with bar(total=len(scored), unit="text") as progress:
        for indices, batch_losses in memory.within_budget(lengths, batch_tokens, work):
            losses |= zip([scored[index] for index in indices], batch_losses, strict=True)
            progress.update(len(indices))
    for index, loss in sorted(losses.items()):
        if not math.isfinite(loss):
            raise EvaluationError(
                f"forgetting text {index + 1}: the model's loss is not finite; its weights are"
                " broken, or their dtype is too narrow (try dtype: float32)"
            )
    return math.fsum(losses.values()) / (sum(lengths) - len(scored))


def _losses(model: Any, padding: int, rows: Sequence[Sequence[int]]) -> list[float]:
    """Each row's loss, summed over its tokens; see `mean_loss`."""
    batch = {name: tensor.to(model.device) for name, tensor in batching.pad(rows, padding).items()}
    ids = batch["input_ids"]
    # counted from the end: prompt tuning puts virtual tokens in front
    logits = model(**batch, use_cache=False).logits[:, -ids.shape[1] :]
    ids = ids.to(logits.device)
    return [
        _loss(logits[index, : len(row) - 1], ids[index, 1 : len(row)])
        for index, row in enumerate(rows)
    ]


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Summed cross-entropy of logits (positions × vocabulary), `POSITIONS` at a time."""
    from torch.nn.functional import cross_entropy

    pieces = [slice(start, start + POSITIONS) for start in range(0, len(targets), POSITIONS)]
    return math.fsum(
        cross_entropy(logits[piece].float(), targets[piece], reduction="sum").item()
        for piece in pieces
    )
