"""Timings have their unit in the name and are positive; each form of a model has its own."""

from collections.abc import Callable
from typing import Any

import pytest

from tunebench import models, timing
from tunebench.config.schema import Inference, PromptingMethod
from tunebench.prompts import Prompt

MakePrompts = Callable[..., list[Prompt]]
ASKED = PromptingMethod(kind="prompting")
SETTINGS = Inference(prompts=3, warmup=1, repeats=2, batch_sizes=[1, 2], new_tokens=3)
LABELS = ["positive", "negative"]
PERCENTILES = {
    f"{name}_{end}"
    for name in ("latency", "time_to_first_token", "time_per_output_token")
    for end in ("p50_s", "p50_s_low", "p50_s_high", "p90_s", "p99_s")
}
REQUESTS = {"requests_per_s_batch_1", "requests_per_s_batch_2"}
TOKENS = {"tokens_per_s_batch_1", "tokens_per_s_batch_2"}
MEMORY = {"peak_memory_bytes", "peak_memory_bytes_batch_2"}
WARMUP = {"warmup_requests", "warmup_steady"}


@pytest.mark.parametrize(("labels", "throughput"), [(LABELS, REQUESTS), ([], REQUESTS | TOKENS)])
def test_what_is_measured(
    labels: list[str], throughput: set[str], tiny: models.Base, make_prompts: MakePrompts
) -> None:
    measured: dict[str, Any] = timing.time_inference(
        tiny, ASKED, make_prompts(5), SETTINGS, labels=labels, trained=None
    )
    once = {"load_s", "prompts", "repeats", "threads"}
    assert set(measured) == PERCENTILES | throughput | MEMORY | WARMUP | once
    assert (measured["prompts"], measured["repeats"]) == (3, 2)
    steady = measured.pop("warmup_steady")
    assert isinstance(steady, bool)
    assert all(value > 0 for value in measured.values())
    for name in ("latency", "time_to_first_token", "time_per_output_token"):
        low, middle, high, p90, p99 = (
            measured[f"{name}_{end}"]
            for end in ("p50_s_low", "p50_s", "p50_s_high", "p90_s", "p99_s")
        )
        assert low <= middle <= high <= p99
        assert middle <= p90 <= p99
    assert measured["peak_memory_bytes"] > 1e6
