"""Latency, throughput and memory of a model in this process, one method at a time.

The adapter is first timed attached to the base that it was trained on, quantized where that was.
Then, where PEFT can merge it, the merged model is timed. The device is synchronized before each
reading of the clock (as in Hugging Face's optimum-benchmark), and garbage collection is off.

- `requests`: a request as a user would send it
- `writing`: texts, up to their own end or of a fixed length
- `rounds`: warm-up, single requests in rounds
- `batches`: throughput by batch size
- `clock`: a clock that synchronizes the device, and when requests are steady
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
from tunebench.config.options import Options
from tunebench.config.timed import GREEDY
from tunebench.models import memory, outcomes
from tunebench.prompts import DoesNotFit, Prompt
from tunebench.timing.clock import garbage_collection_off, timed
from tunebench.timing.requests import TimedModel
from tunebench.timing.rounds import Measurement, measure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEED = 0  # for the order of the prompts, the same for all methods


@dataclass(frozen=True)
class _Work:
    """One timing: the model, its prompts and the settings, the same attached and merged."""

    base: models.Base
    method: models.Method
    trained: Path | None
    prompts: Sequence[Prompt]
    labels: Sequence[str]
    label_end: LabelEnd
    generation: Options
    settings: Timing

    def measure(self, model: PreTrainedModel, phase: memory.Phase) -> Measurement:
        timed_model = TimedModel.of(
            model,
            models.load_tokenizer(self.base),
            self.prompts,
            labels=self.labels,
            label_end=self.label_end,
            options=self.generation,
            new_tokens=self.settings.new_tokens,
        )
        return measure(timed_model, self.prompts, self.settings, phase)


def time_inference(
    base: models.Base,
    method: models.Method,
    prompts: Sequence[Prompt] | DoesNotFit,
    settings: Timing,
    *,
    labels: Sequence[str],
    trained: Path | None,
    label_end: LabelEnd = "where_needed",
    generation: Options = GREEDY,
) -> results.Metrics:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory.

    The merged model's metrics start with `merged_`. `merged_answers_that_differ` is the share of
    prompts whose answer changes when the adapter is merged; it is left out where texts are sampled.

    Args:
        labels: scored; empty where texts are generated.
        trained: the folder of the tuned model; None for a prompting method.
        generation: GenerationConfig fields of texts of their own length.
    """
    if isinstance(prompts, DoesNotFit):
        return prompts.metrics()
    if failed := outcomes.failure(trained):
        return failed
    shuffled = random.Random(SEED).sample(prompts, len(prompts))
    work = _Work(base, method, trained, shuffled, labels, label_end, generation, settings)
    attached_result = memory.unless_exhausted(partial(_time_attached, work))
    if attached_result is None:
        return outcomes.out_of_memory()
    metrics, attached = attached_result
    if merging.has_adapter(trained):
        metrics |= _time_merged(work, attached)
    return metrics


def _time_attached(work: _Work) -> tuple[results.Metrics, Measurement]:
    import torch
    from transformers import AutoModelForCausalLM  # noqa: F401  (loading is timed without imports)

    if merging.has_adapter(work.trained):
        import peft  # noqa: F401

    phase = memory.Phase.start()
    load_s, model = timed(lambda: models.load(work.base, work.method, trained=work.trained).eval())
    with garbage_collection_off():
        measured = work.measure(model, phase)
    quantization = getattr(work.method, "quantization", None)
    return measured.metrics | {
        "load_s": results.rounded(load_s, 4),
        "prompts": len(measured.answers),
        "repeats": work.settings.repeats,
        "threads": torch.get_num_threads(),
        **({"quantization": _quantization_name(quantization)} if quantization else {}),
    }, measured


def _time_merged(work: _Work, attached: Measurement) -> results.Metrics:
    """Metrics of the merged model and how often it answers differently, or why there are none."""
    merged_result = memory.unless_exhausted(partial(_merge_and_measure, work))
    if merged_result is None:
        return {"mergeable": True, "merged_out_of_memory": True}
    merge_s, measured = merged_result
    if measured is None:
        return {"mergeable": False}
    metrics = measured.metrics
    if work.labels or not work.generation.get("do_sample"):
        pairs = list(zip(attached.answers, measured.answers, strict=True))
        differing = sum(answer != merged_answer for answer, merged_answer in pairs) / len(pairs)
        metrics = metrics | {"answers_that_differ": results.rounded(differing, 4)}
    merged = {f"merged_{name}": value for name, value in metrics.items()}
    return {"mergeable": True, "merge_s": results.rounded(merge_s, 4)} | merged


def _merge_and_measure(work: _Work) -> tuple[float, Measurement | None]:
    """Seconds of merging, and the measurement; None where PEFT cannot merge."""
    phase = memory.Phase.start()
    merge_s, model = timed(lambda: merging.merge(work.base, work.method, work.trained))
    if model is None:
        return merge_s, None
    with garbage_collection_off():
        return merge_s, work.measure(model, phase)


def _quantization_name(quantization: object) -> str:
    """`nf4`, `fp4` or `int8`, also where it is given as BitsAndBytesConfig fields."""
    if not isinstance(quantization, dict):
        return str(quantization)
    is_8bit = quantization.get("load_in_8bit")
    return "int8" if is_8bit else str(quantization.get("bnb_4bit_quant_type", "fp4"))
