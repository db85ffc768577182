"""Label log-likelihoods: how probable each label is as the answer to a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebench import batching, tokenization
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.tokenization import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class _Input:
    """One sequence to run, and the labels that are read off it: label → where its tokens start."""

    prompt: int
    ids: tuple[int, ...]
    answers: dict[int, tuple[int, tuple[int, ...]]]


def score(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    batch_size: int,
) -> list[list[float]]:
    """Sum of the log-probabilities (nats) of each label's tokens: prompts × labels.

    Labels that differ in their last token alone are read off one forward pass.
    """
    import torch

    inputs = [
        sequence
        for index, prompt in enumerate(prompts)
        for sequence in _inputs(index, prompt, labels, tokenizer)
    ]
    scores = [[0.0] * len(labels) for _ in prompts]
    padding = tokenization.pad_id(tokenizer)
    lengths = [len(sequence.ids) for sequence in inputs]
    model.eval()
    with torch.inference_mode(), bar(total=len(inputs), unit="prompt") as progress:
        for indices in batching.by_length(lengths, batch_size):
            batch = [inputs[index] for index in indices]
            for sequence, logits, first in _forward(model, batch, padding):
                for label, (start, answer) in sequence.answers.items():
                    at = slice(start - 1 - first, start - 1 - first + len(answer))
                    chosen = torch.tensor(answer, device=logits.device)[:, None]
                    scores[sequence.prompt][label] = float(
                        logits[at].log_softmax(-1).gather(1, chosen).sum()
                    )
            progress.update(len(batch))
    return scores


def _inputs(
    index: int, prompt: Prompt, labels: Sequence[str], tokenizer: Tokenizer
) -> list[_Input]:
    """The fewest sequences that give all labels: none is a prefix of another."""
    pairs = tokenization.encode_pairs(
        tokenizer, [(prompt.shown, prompt.answered(label)) for label in labels]
    )
    wanted = {label: (len(context), tuple(answer)) for label, (context, answer) in enumerate(pairs)}
    # the last token is predicted, never fed
    fed = {label: (*context, *answer[:-1]) for label, (context, answer) in enumerate(pairs)}
    found: list[_Input] = []
    for label in sorted(fed, key=lambda label: -len(fed[label])):
        for sequence in found:
            if sequence.ids[: len(fed[label])] == fed[label]:
                sequence.answers[label] = wanted[label]
                break
        else:
            found.append(_Input(index, fed[label], {label: wanted[label]}))
    return found


def _forward(
    model: PreTrainedModel, batch: Sequence[_Input], padding: int
) -> list[tuple[_Input, torch.Tensor, int]]:
    """For each sequence its logits from some position on (float32), and that position."""
    tensors = batching.pad([sequence.ids for sequence in batch], padding)
    longest = tensors["input_ids"].shape[1]
    first = min(start for sequence in batch for start, _ in sequence.answers.values()) - 1
    first = max(first, 0)
    logits = model(
        **{name: tensor.to(model.device) for name, tensor in tensors.items()},
        use_cache=False,
        **_keep(model, longest - first),
    ).logits
    # counted from the end, since prompt tuning puts positions of its own in front
    logits = logits[:, first - longest :].float()
    return [(sequence, logits[row], first) for row, sequence in enumerate(batch)]


def _keep(model: PreTrainedModel, positions: int) -> dict[str, int]:
    """Ask for the last positions' logits only, where the architecture can: the rest is unused."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = "logits_to_keep" in inspect.signature(inner.forward).parameters
    return {"logits_to_keep": positions} if known else {}
