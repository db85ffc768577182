"""What tuning has cost elsewhere: the loss on text of another domain, before and after.

Before is the untouched model, loaded by itself, in the precision of the tuned one: a tuned model
whose adapter is disabled is not always that one, since PiSSA and OLoRA change the weights beneath.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import models, results
from tunebench.errors import EvaluationError
from tunebench.models import memory, outcomes
from tunebench.models.adapters import virtual_tokens
from tunebench.progress import bar
from tunebench.prompts import batching, tokenization
from tunebench.prompts.tokenization import Marked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

# logits of a batch, one for each of its tokens and each of the vocabulary: 1 GB in float32
LOGITS = 2**28
# positions whose loss is computed at once, in float32 whatever the model's own dtype
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
    """The mean loss on forgetting texts before and after tuning, and by how much it has risen.

    Args:
        trained: the folder that `training.train` wrote.
        context_length: of the model, in tokens; longer texts are cut, the tuned method's virtual
            tokens counted in, so that both models are asked the same.
        batch_tokens: how many tokens, padding included, go through the model at once at most; fewer
            where the vocabulary is large.

    Returns:
        `forgetting_loss_before`, `forgetting_loss_after` and `forgetting`, in nats per token; if
        memory ran out, only `forgetting_failed`, which `outcomes.note` reads.

    Raises:
        EvaluationError: if a loss is not finite, or the texts hold no token to predict.
    """
    work = partial(
        _measure, base, method, texts,
        trained=trained, context_length=context_length, batch_tokens=batch_tokens,
    )  # fmt: skip
    if (found := memory.unless_exhausted(work)) is not None:
        return found
    failed = outcomes.out_of_memory()
    log.warning("forgetting: %s; %s. The evaluation stands.", outcomes.note(failed), REMEDY)
    return {"forgetting_failed": failed}


def _measure(
    base: models.Base,
    method: models.Method,
    texts: Sequence[str],
    *,
    trained: Path,
    context_length: int | None,
    batch_tokens: int,
) -> results.Metrics:
    tokenizer = models.load_tokenizer(base)
    budget = min(batch_tokens, max(1, LOGITS // len(tokenizer)))
    tuned = models.load(base, method, trained=trained)
    padding = tokenization.pad_id(tokenizer, tuned.config)
    room = context_length and max(0, context_length - virtual_tokens(tuned))
    encoded = tokenization.encode_all(tokenizer, list(map(Marked.from_row, texts)))
    rows = [ids[:room] for ids in encoded]
    after = mean_loss(tuned, rows, padding=padding, batch_tokens=budget)
    del tuned  # one model at a time is in memory
    before = mean_loss(models.load(base, method), rows, padding=padding, batch_tokens=budget)
    before, after = results.rounded(before), results.rounded(after)
    # of the rounded ones, so that the three agree
    risen = round(after - before, 6)
    return {"forgetting_loss_before": before, "forgetting_loss_after": after, "forgetting": risen}


def mean_loss(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], *, padding: int, batch_tokens: int
) -> float:
    """Mean negative log-likelihood (nats) of every token of every row but each row's first.

    Args:
        rows: token ids of each text, within the model's context.
        padding: the id that fills up shorter rows.

    Raises:
        EvaluationError: if the loss is not finite, naming the first such text, or there is none.
    """
    import torch

    asked = [index for index, row in enumerate(rows) if len(row) > 1]
    if not asked:
        raise EvaluationError(
            "the forgetting texts hold no token to predict; set evaluation.forgetting to a data set"
            " with longer texts"
        )
    model.eval()
    batch_tokens = batching.at_once(model, batch_tokens)
    lengths = [len(rows[index]) for index in asked]
    losses: dict[int, float] = {}

    def work(places: Sequence[int]) -> list[float]:
        with torch.inference_mode():
            return _losses(model, padding, [rows[asked[place]] for place in places])

    with bar(total=len(asked), unit="text") as progress:
        for places, found in memory.within_budget(lengths, batch_tokens, work):
            losses |= zip([asked[place] for place in places], found, strict=True)
            progress.update(len(places))
    for index, loss in sorted(losses.items()):
        if not math.isfinite(loss):
            raise EvaluationError(
                f"forgetting text {index + 1}: the model's loss is not finite; its weights are"
                " broken, or their dtype is too narrow (try dtype: float32)"
            )
    return math.fsum(losses.values()) / (sum(lengths) - len(asked))


def _losses(model: Any, padding: int, rows: Sequence[Sequence[int]]) -> list[float]:
    """Each row's sum over its tokens; see `mean_loss`."""
    batch = {name: held.to(model.device) for name, held in batching.pad(rows, padding).items()}
    ids = batch["input_ids"]
    # counted from the end, since prompt tuning puts positions of its own in front
    logits = model(**batch, use_cache=False).logits[:, -ids.shape[1] :]
    ids = ids.to(logits.device)
    return [
        _loss(logits[index, : len(row) - 1], ids[index, 1 : len(row)])
        for index, row in enumerate(rows)
    ]


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The sum over positions × vocabulary, a piece of the positions at a time."""
    from torch.nn.functional import cross_entropy

    pieces = [slice(start, start + POSITIONS) for start in range(0, len(targets), POSITIONS)]
    return math.fsum(
        cross_entropy(logits[piece].float(), targets[piece], reduction="sum").item()
        for piece in pieces
    )
