"""Timings have their unit in the name and are positive; each form of a model has its own."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunebench import models, timing
from tunebench.answering.generation import Text
from tunebench.config.inference import Timing
from tunebench.config.schema import PeftMethod, PromptingMethod
from tunebench.models import memory
from tunebench.prompts import Prompt
from tunebench.timing import batches, rounds
from tunebench.timing.writing import RequestTimes

MakePrompts = Callable[..., list[Prompt]]
ASKED = PromptingMethod(kind="prompting")
SETTINGS = Timing(prompts=3, warmup=1, repeats=2, batch_sizes=[1, 2], new_tokens=3)
LABELS = ["positive", "negative"]


def percentiles(*names: str) -> set[str]:
    """Of three prompts: a median without an interval, and how many prompts more would take."""
    return {f"{name}_{end}" for name in names for end in ("p50_s", "p90_s_needs", "p99_s_needs")}


OF_TOKENS = ("time_to_first_token", "time_per_output_token")
PERCENTILES = percentiles("latency", *OF_TOKENS)
REQUESTS = {f"requests_per_s_batch_{size}{end}" for size in (1, 2) for end in ("", "_low", "_high")}
TOKENS = {"tokens_per_s_batch_1", "tokens_per_s_batch_2", "output_tokens_mean"}
MEMORY = {
    f"peak_memory_{name}{end}"
    for name in ("bytes", "above_baseline_bytes")
    for end in ("", "_batch_2")
}
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
    assert (measured["latency_p90_s_needs"], measured["latency_p99_s_needs"]) == (36, 368)
    for size in (1, 2):
        rate = f"requests_per_s_batch_{size}"
        assert measured[f"{rate}_low"] < measured[rate] < measured[f"{rate}_high"]
    assert measured["peak_memory_bytes"] > measured["peak_memory_above_baseline_bytes"]
    if not labels:
        assert measured["output_tokens_mean"] == 3
        for size in (1, 2):
            rates = [measured[f"{what}_per_s_batch_{size}"] for what in ("tokens", "requests")]
            assert rates[0] == pytest.approx(3 * rates[1], rel=1e-3)


def test_label_alone_is_timed_without_tokens(tiny: models.Base, make_prompts: MakePrompts) -> None:
    settings = SETTINGS.model_copy(update={"new_tokens": None})
    measured = timing.time_inference(
        tiny, ASKED, make_prompts(5), settings, labels=LABELS, trained=None
    )
    assert {name for name in measured if name.endswith(("_s", "_needs")) or "tokens" in name} == {
        "load_s", *percentiles("latency")
    }  # fmt: skip


def tuned(base: models.Base, method: PeftMethod, folder: Path) -> Path:
    """An adapter that changes answers."""
    import torch

    adapted = models.with_adapter(models.load(base, method), method, {})
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.1)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.mark.parametrize(
    ("quantization", "named"),
    [("nf4", "nf4"), ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4"), (None, None)],
)
def test_merged_model_is_timed_too(
    quantization: Any,
    named: str | None,
    tiny: models.Base,
    make_prompts: MakePrompts,
    tmp_path: Path,
) -> None:
    adapter = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
    method = PeftMethod(kind="peft", adapter=adapter, quantization=quantization)
    measured = timing.time_inference(
        tiny, method, make_prompts(6), SETTINGS, labels=[], trained=tuned(tiny, method, tmp_path)
    )
    assert measured.get("quantization") == named
    of_merged = {name.removeprefix("merged_") for name in measured if name.startswith("merged_")}
    assert of_merged == PERCENTILES | REQUESTS | TOKENS | MEMORY | WARMUP | {"answers_that_differ"}
    assert measured["mergeable"] is True
    assert measured["merge_s"] > 0
    assert measured["merged_answers_that_differ"] == 0
    assert measured["merged_peak_memory_above_baseline_bytes"] > 0


def test_answers_that_differ_are_counted(
    tiny: models.Base, make_prompts: MakePrompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
    method = PeftMethod(kind="peft", adapter=adapter)
    folder = tuned(tiny, method, tmp_path)
    monkeypatch.setattr(timing.merging, "merge", lambda *_: models.load(tiny, ASKED))
    longer = SETTINGS.model_copy(update={"new_tokens": 12})
    measured = timing.time_inference(
        tiny, method, make_prompts(6), longer, labels=[], trained=folder
    )
    assert measured["merged_answers_that_differ"] == 1


def test_what_cannot_be_merged_is_said(
    tiny: models.Base, make_prompts: MakePrompts, tmp_path: Path
) -> None:
    method = PeftMethod(
        kind="peft", adapter={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}
    )
    measured = timing.time_inference(
        tiny,
        method,
        make_prompts(4),
        SETTINGS,
        labels=LABELS,
        trained=tuned(tiny, method, tmp_path),
    )
    assert measured["mergeable"] is False
    assert not [name for name in measured if name.startswith("merge") and name != "mergeable"]


def test_memory_that_ends_with_merged_weights_leaves_the_rest(
    tiny: models.Base, make_prompts: MakePrompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import OutOfMemoryError

    def ends(*_: Any) -> None:
        raise OutOfMemoryError

    adapter = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
    method = PeftMethod(kind="peft", adapter=adapter)
    folder = tuned(tiny, method, tmp_path)
    monkeypatch.setattr(timing.merging, "merge", ends)
    measured = timing.time_inference(
        tiny, method, make_prompts(4), SETTINGS, labels=LABELS, trained=folder
    )
    assert measured["merged_out_of_memory"] is True
    assert "out_of_memory" not in measured
    assert measured["latency_p50_s"] > 0


def test_no_share_of_sampled_answers_differs(
    tiny: models.Base, make_prompts: MakePrompts, tmp_path: Path
) -> None:
    method = PeftMethod(
        kind="peft", adapter={"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
    )
    measured = timing.time_inference(
        tiny, method, make_prompts(3), SETTINGS.model_copy(update={"new_tokens": None}), labels=[],
        trained=tuned(tiny, method, tmp_path), generation={"do_sample": True, "max_new_tokens": 4},
    )  # fmt: skip
    assert measured["merged_latency_p50_s"] > 0
    assert measured["merged_output_tokens_mean"] <= 4
    assert "merged_answers_that_differ" not in measured


# rounds -----------------------------------------------------------------------------------------


PHASE = memory.Phase(None)


class Fake:
    """A subject whose single requests take as long as their prompt's number says."""

    writes_tokens = True

    def __init__(self, seconds: Callable[[int], float] = lambda _: 1.0) -> None:
        self.score = None
        self.seconds = seconds
        self.asked: list[str] = []
        self.sizes: list[int] = []

    def single(self, prompt: Prompt) -> RequestTimes:
        self.asked.append(prompt.id)
        return RequestTimes(1.0, Text(prompt.id, 2), 0.5, 0.1)

    def batch(self, prompts: Sequence[Prompt]) -> list[Text]:
        self.sizes.append(len(prompts))
        return [Text(prompt.id, 2) for prompt in prompts]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A subject that takes a second for a batch of up to 16, and longer for larger ones."""
    made = Fake(lambda size: max(1.0, size / 16))

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        found = work()
        return made.seconds(made.sizes[-1]), found

    monkeypatch.setattr(batches, "timed", timed)
    return made


def rates(fake: Any, drawn: list[Prompt], **given: Any) -> dict[str, Any]:
    found = rounds.measure(fake, drawn, Timing(**{"prompts": 4} | given), PHASE)
    return {name: value for name, value in found.metrics.items() if "_batch_" in name}


def test_batches_grow_until_more_brings_nothing(fake: Fake, make_prompts: MakePrompts) -> None:
    found = rates(fake, make_prompts(10))
    for size, rate in ((1, 1), (4, 4), (16, 16), (64, 16)):
        for end in ("", "_low", "_high"):  # all rounds take as long
            assert found[f"requests_per_s_batch_{size}{end}"] == rate
    assert not [name for name in found if "batch_256" in name]
    assert found["tokens_per_s_batch_16"] == 32
    # one that is not counted, and three rounds
    assert fake.sizes == [4] * 4 + [16] * 4 + [64] * 4


def test_batches_are_full_and_hold_all_prompts(fake: Fake, make_prompts: MakePrompts) -> None:
    rates(fake, make_prompts(10), prompts=7, batch_sizes=[4], repeats=2)
    assert fake.sizes == [4, 4, 4, 4, 4]


def test_end_of_memory_ends_the_batches(fake: Fake, make_prompts: MakePrompts) -> None:
    from torch import OutOfMemoryError

    def seconds(size: int) -> float:
        if size == 16:
            raise OutOfMemoryError
        return 1.0

    fake.seconds = seconds
    found = rates(fake, make_prompts(4))
    assert found["memory_ended_at_batch_size"] == 16
    assert "requests_per_s_batch_4" in found
    assert "requests_per_s_batch_16" not in found


def test_other_errors_do_not(fake: Fake, make_prompts: MakePrompts) -> None:
    def seconds(_: int) -> float:
        raise RuntimeError("shapes do not match")

    fake.seconds = seconds
    with pytest.raises(RuntimeError, match="shapes"):
        rates(fake, make_prompts(4))


def test_each_round_has_its_own_order_always_the_same(
    fake: Fake, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(8)
    settings = Timing(prompts=8, repeats=3, batch_sizes=[1])
    first = rounds.measure(fake, prompts, settings, PHASE)  # type: ignore[arg-type]
    warm, *orders = [fake.asked[:-24], fake.asked[-24:-16], fake.asked[-16:-8], fake.asked[-8:]]
    assert len(warm) == first.metrics["warmup_requests"] == 12
    assert {tuple(sorted(order)) for order in orders} == {
        tuple(sorted(prompt.id for prompt in prompts))
    }
    assert len(set(map(tuple, orders))) == 3
    assert first.answers == [prompt.id for prompt in prompts]
    again = Fake()
    rounds.measure(again, prompts, settings, PHASE)  # type: ignore[arg-type]
    assert again.asked == fake.asked


def test_prompts_are_drawn_from_all_test_prompts(
    tiny: models.Base, make_prompts: MakePrompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Prompt]] = []

    def look(_: Any, prompts: list[Prompt], settings: Timing, __: Any) -> Any:
        seen.append(prompts[: settings.prompts])
        return rounds.Measurement({}, [""])

    monkeypatch.setattr(timing, "measure", look)
    prompts = make_prompts(40)
    for _ in range(2):
        timing.time_inference(tiny, ASKED, prompts, SETTINGS, labels=[], trained=None)
    assert seen[0] == seen[1] == random.Random(timing.SEED).sample(prompts, 40)[:3]
    assert seen[0] != prompts[:3]


# percentiles ------------------------------------------------------------------------------------


def measured_of(count: int, make_prompts: MakePrompts, repeats: int = 3) -> dict[str, Any]:
    """Metrics of requests whose latency is their prompt's number, twice that in the last round."""

    class Numbered(Fake):
        def single(self, prompt: Prompt) -> RequestTimes:
            self.asked.append(prompt.id)
            slow = len(self.asked) > 12 + (repeats - 1) * count  # after a warm-up of 12
            return RequestTimes(numbers[prompt.id] * (2 if slow else 1), Text("", 1), 0.5)

    prompts = make_prompts(count)
    numbers = {prompt.id: float(index + 1) for index, prompt in enumerate(prompts)}
    settings = Timing(prompts=count, repeats=repeats, batch_sizes=[1])
    return rounds.measure(Numbered(), prompts, settings, PHASE).metrics  # type: ignore[arg-type]


def test_percentile_is_given_where_the_prompts_carry_it(make_prompts: MakePrompts) -> None:
    few = measured_of(5, make_prompts)
    assert few["latency_p50_s"] == 3
    assert "latency_p50_s_low" not in few
    some = measured_of(40, make_prompts)
    assert some["latency_p50_s"] == 20.5
    # the order statistics between which a median of 40 lies in 95% of the cases
    assert (some["latency_p50_s_low"], some["latency_p50_s_high"]) == (14, 27)
    assert some["latency_p90_s"] == pytest.approx(36.1)
    assert some["latency_p90_s_low"] < 36.1 < some["latency_p90_s_high"] <= 40
    assert "latency_p90_s_needs" not in some
    assert "latency_p99_s" not in some
    assert some["latency_p99_s_needs"] == 368
    assert not [name for name in some if name.startswith("time_per_output_token")]
    many = measured_of(368, make_prompts)
    assert many["latency_p99_s_low"] < many["latency_p99_s"] < many["latency_p99_s_high"]
    assert not [name for name in many if name.endswith("_needs")]
