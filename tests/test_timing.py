"""Timings have their unit in the name and are positive."""

from collections.abc import Callable
from typing import Any

import pytest

from tunebench import models, timing
from tunebench.config.schema import Inference, PromptingMethod
from tunebench.prompts import Prompt

SETTINGS = Inference(prompts=3, warmup=1, batch_sizes=[1, 2], new_tokens=3)
PERCENTILES = {
    f"{name}_p{percent}_s"
    for name in ("latency", "time_to_first_token", "time_per_output_token")
    for percent in (50, 90, 99)
}
REQUESTS = {"requests_per_s_batch_1", "requests_per_s_batch_2"}
TOKENS = {"tokens_per_s_batch_1", "tokens_per_s_batch_2"}


@pytest.mark.parametrize(
    ("labels", "throughput"), [(["positive", "negative"], REQUESTS), ([], REQUESTS | TOKENS)]
)
def test_what_is_measured(
    labels: list[str],
    throughput: set[str],
    tiny: models.Base,
    make_prompts: Callable[..., list[Prompt]],
) -> None:
    measured: dict[str, Any] = timing.time_inference(
        tiny,
        PromptingMethod(kind="prompting"),
        make_prompts(2),
        SETTINGS,
        labels=labels,
        trained=None,
    )
    assert set(measured) == {
        *PERCENTILES,
        *throughput,
        "load_s",
        "prompts",
        "peak_memory_bytes",
    }
    assert measured["prompts"] == 3
    assert all(value > 0 for value in measured.values())
    assert measured["latency_p50_s"] <= measured["latency_p90_s"] <= measured["latency_p99_s"]
    assert measured["peak_memory_bytes"] > 1e6
