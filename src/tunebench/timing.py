"""Latency, throughput and memory of a model in this process, one method at a time.

A request is what a user of the task would send: for classification, the scores of all labels; for
summarization, `new_tokens` tokens, always that many, so that two methods do the same work. The
device is synchronized before each reading of the clock, and nothing is counted before `warmup`
requests are through (as in Hugging Face's optimum-benchmark).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tunebench import generation, memory, models, outcomes, results, scoring, tokenization
from tunebench.config.schema import Inference
from tunebench.progress import bar
from tunebench.prompts import DoesNotFit, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.tokenization import Tokenizer


ONE_BATCH = 10**9  # tokens: whatever is asked together is answered together


class _TokenClock:
    """A streamer for `generate` that notes when each token came."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def put(self, _: Any) -> None:
        """Called with the prompt first, then with each new token."""
        _synchronize()
        self.moments.append(perf_counter())

    def end(self) -> None:
        """Called after the last token."""


@dataclass(frozen=True)
class _Subject:
    """A loaded model and the requests to time on it."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    labels: Sequence[str]
    run: scoring.Pass | None
    new_tokens: int

    def request(self, prompts: Sequence[Prompt]) -> None:
        """Answer some prompts as one batch."""
        if self.run:
            self.run(scoring.questions(self.tokenizer, prompts, self.labels))
        else:
            generation.generate(
                self.model, self.tokenizer, prompts, self._options(), batch_tokens=ONE_BATCH
            )

    def token_moments(self, prompt: Prompt) -> list[float]:
        """Seconds from the request to each of `new_tokens` tokens."""
        import torch

        ids = tokenization.encode(self.tokenizer, prompt.shown)
        tensor = torch.tensor([ids], device=self.model.device)
        config = generation.configure(self.model, self.tokenizer, self._options(), tail=prompt.tail)
        clock = _TokenClock()
        _synchronize()
        started = perf_counter()
        with torch.inference_mode():
            self.model.generate(
                input_ids=tensor,
                attention_mask=torch.ones_like(tensor),
                generation_config=config,
                streamer=clock,
            )
        return [moment - started for moment in clock.moments[1:]]

    def _options(self) -> dict[str, Any]:
        fixed = self.new_tokens
        return {"do_sample": False, "max_new_tokens": fixed, "min_new_tokens": fixed}


def time_inference(
    base: models.Base,
    method: models.Method,
    prompts: Sequence[Prompt] | DoesNotFit,
    settings: Inference,
    *,
    labels: Sequence[str],
    trained: Path | None,
) -> results.Metrics:
    """Percentiles of latency (s), time to and per token (s), throughput by batch size, memory."""
    if isinstance(prompts, DoesNotFit):
        return prompts.metrics()
    if failed := outcomes.failure(trained):
        return failed
    try:
        return _time(base, method, prompts, settings, labels, trained)
    except Exception as error:
        if not memory.has_ended(error):
            raise
    return outcomes.out_of_memory()


def _time(
    base: models.Base,
    method: models.Method,
    prompts: Sequence[Prompt],
    settings: Inference,
    labels: Sequence[str],
    trained: Path | None,
) -> results.Metrics:
    started = perf_counter()
    loaded = models.load(base, method, trained=trained).eval()
    load_s = perf_counter() - started
    tokenizer = models.load_tokenizer(base)
    chosen = [prompts[index % len(prompts)] for index in range(settings.prompts)]
    run = _scoring_pass(loaded, tokenizer, chosen, labels) if labels else None
    subject = _Subject(loaded, tokenizer, labels, run, settings.new_tokens)
    for index in range(settings.warmup):
        subject.request([chosen[index % len(chosen)]])
        subject.token_moments(chosen[index % len(chosen)])
    memory.reset_peak()

    with bar(total=(2 + len(settings.batch_sizes)) * len(chosen), unit="request") as progress:
        latencies = [_seconds(subject.request, [prompt], progress) for prompt in chosen]
        moments = []
        for prompt in chosen:
            moments.append(subject.token_moments(prompt))
            progress.update(1)
        throughput: dict[str, float] = {}
        for size in settings.batch_sizes:
            batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
            seconds = sum(_seconds(subject.request, batch, progress) for batch in batches)
            throughput[f"requests_per_s_batch_{size}"] = len(chosen) / seconds
            if not labels:
                tokens = len(chosen) * settings.new_tokens
                throughput[f"tokens_per_s_batch_{size}"] = tokens / seconds

    per_token = [(after[-1] - after[0]) / (len(after) - 1) for after in moments if len(after) > 1]
    measured = {
        **_percentiles("latency", latencies),
        **_percentiles("time_to_first_token", [after[0] for after in moments]),
        **_percentiles("time_per_output_token", per_token),
        **throughput,
        "load_s": load_s,
    }
    return {name: results.rounded(value, 4) for name, value in measured.items()} | {
        "prompts": len(chosen),
        "peak_memory_bytes": memory.peak_bytes(),
    }


def _scoring_pass(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], labels: Sequence[str]
) -> scoring.Pass:
    # requests come one by one, so none finds the beginning that it shares with others already run
    asked = scoring.questions(tokenizer, prompts, labels)
    return scoring.fastest_pass(model, tokenization.pad_id(tokenizer), asked, share=False)


def _seconds(request: Callable[[list[Prompt]], None], batch: list[Prompt], progress: Any) -> float:
    _synchronize()
    started = perf_counter()
    request(batch)
    _synchronize()
    seconds = perf_counter() - started
    progress.update(len(batch))
    return seconds


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    import numpy as np

    if not seconds:
        return {}
    return {
        f"{name}_p{percent}_s": float(np.percentile(seconds, percent)) for percent in (50, 90, 99)
    }
