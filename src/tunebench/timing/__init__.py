"""Latency, throughput and memory of a model in this process, one method at a time.

First with the adapter attached, on the base that it was trained on, quantized where that was; then,
where PEFT can, merged into plain weights. The device is synchronized before each reading of the
clock (as in Hugging Face's optimum-benchmark), and the garbage collector is off meanwhile.

- `requests`: a request as a user would send it
- `rounds`: warm-up, single requests in rounds, batches
- `clock`: a clock that waits for the device
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench import models, results
from tunebench.answering import merging
from tunebench.answering.scoring import LabelEnd
from tunebench.config.inference import Timing
from tunebench.models import memory, outcomes
from tunebench.prompts import DoesNotFit, Prompt
from tunebench.timing.clock import timed, undisturbed
from tunebench.timing.requests import Subject
from tunebench.timing.rounds import Measured, measure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEED = 0  # of the order in which prompts are drawn, the same for all methods


@dataclass(frozen=True)
class _Work:
    """What is asked of each form of a method's model."""

    base: models.Base
    method: models.Method
    trained: Path | None
    prompts: Sequence[Prompt]
    labels: Sequence[str]
    label_end: LabelEnd
    settings: Timing

    def measure(self, model: PreTrainedModel) -> Measured:
        subject = Subject.of(
            model,
            models.load_tokenizer(self.base),
            self.prompts,
            labels=self.labels,
            label_end=self.label_end,
            new_tokens=self.settings.new_tokens,
        )
        return measure(subject, self.prompts, self.settings)


def time_inference(
    base: models.Base,
    method: models.Method,
    prompts: Sequence[Prompt] | DoesNotFit,
    settings: Timing,
    *,
    labels: Sequence[str],
    trained: Path | None,
    label_end: LabelEnd = "where_needed",
) -> results.Metrics:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory.

    The merged model's have `merged_` before their names; `merged_answers_that_differ` is the share
    of prompts that it answers otherwise than with the adapter attached.
    """
    if isinstance(prompts, DoesNotFit):
        return prompts.metrics()
    if failed := outcomes.failure(trained):
        return failed
    drawn = random.Random(SEED).sample(prompts, len(prompts))
    work = _Work(base, method, trained, drawn, labels, label_end, settings)
    timed_attached = memory.unless_exhausted(partial(_time_attached, work))
    if timed_attached is None:
        return outcomes.out_of_memory()
    found, attached = timed_attached
    if merging.has_adapter(trained):
        found |= _time_merged(work, attached)
    return found


def _time_attached(work: _Work) -> tuple[results.Metrics, Measured]:
    import torch
    from transformers import AutoModelForCausalLM  # noqa: F401  (imports are no part of loading)

    if merging.has_adapter(work.trained):
        import peft  # noqa: F401

    load_s, model = timed(lambda: models.load(work.base, work.method, trained=work.trained).eval())
    with undisturbed():
        measured = work.measure(model)
    quantization = getattr(work.method, "quantization", None)
    return measured.metrics | {
        "load_s": results.rounded(load_s, 4),
        "prompts": len(measured.answers),
        "repeats": work.settings.repeats,
        "threads": torch.get_num_threads(),
        **({"quantization": _named(quantization)} if quantization else {}),
    }, measured


def _time_merged(work: _Work, attached: Measured) -> results.Metrics:
    """The same of the merged model, and whether it answers alike; why not, where it cannot be."""
    memory.release()
    timed_merged = memory.unless_exhausted(partial(_merge_and_measure, work))
    if timed_merged is None:
        return {"mergeable": True, "merged_out_of_memory": True}
    merge_s, measured = timed_merged
    if measured is None:
        return {"mergeable": False}
    pairs = list(zip(attached.answers, measured.answers, strict=True))
    differing = sum(ours != theirs for ours, theirs in pairs) / len(pairs)
    # a process's own peak is that of the attached model before it
    counted = models.device() == "cuda"
    kept = {
        name: value
        for name, value in measured.metrics.items()
        if counted or not name.startswith("peak_memory")
    }
    kept["answers_that_differ"] = results.rounded(differing, 4)
    merged = {f"merged_{name}": value for name, value in kept.items()}
    return {"mergeable": True, "merge_s": results.rounded(merge_s, 4)} | merged


def _merge_and_measure(work: _Work) -> tuple[float, Measured | None]:
    """Seconds of merging, and what was measured; None where PEFT cannot merge."""
    merge_s, model = timed(lambda: merging.merge(work.base, work.method, work.trained))
    if model is None:
        return merge_s, None
    with undisturbed():
        return merge_s, work.measure(model)


def _named(quantization: object) -> str:
    """`nf4`, `fp4` or `int8`, where BitsAndBytesConfig fields say it too."""
    if not isinstance(quantization, dict):
        return str(quantization)
    eight = quantization.get("load_in_8bit")
    return "int8" if eight else str(quantization.get("bnb_4bit_quant_type", "fp4"))
