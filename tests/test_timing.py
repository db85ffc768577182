"""Timings have their unit in the name and are positive; each form of a model has its own."""

import copy
import gc
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunebench import models, timing
from tunebench.config.inference import Timing
from tunebench.config.schema import PeftMethod, PromptingMethod
from tunebench.errors import EvaluationError
from tunebench.prompts import Prompt, encoding
from tunebench.timing import clock, rounds
from tunebench.timing.requests import RequestTimes, TimedModel

MakePrompts = Callable[..., list[Prompt]]
ASKED = PromptingMethod(kind="prompting")
SETTINGS = Timing(prompts=3, warmup=1, repeats=2, batch_sizes=[1, 2], new_tokens=3)
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
    assert of_merged == PERCENTILES | REQUESTS | TOKENS | WARMUP | {"answers_that_differ"}
    assert measured["mergeable"] is True
    assert measured["merge_s"] > 0
    assert measured["merged_answers_that_differ"] == 0


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


# requests and their tokens ----------------------------------------------------------------------


def subject_of(model: Any, tokenizer: Any, prompts: Sequence[Prompt], tokens: int) -> TimedModel:
    return TimedModel.of(model, tokenizer, prompts, labels=[], new_tokens=tokens)


def test_each_token_is_timed_whatever_writes_it(
    answering: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(3)
    subject = subject_of(answering, tokenizer, prompts, 6)
    for prompt in prompts:
        single = subject.single(prompt)
        assert len(subject.clock.moments) == 6
        assert sorted(subject.clock.moments) == subject.clock.moments
        assert single.time_per_output_token is not None
        assert 0 < single.time_to_first_token < single.latency
        written = single.time_to_first_token + 5 * single.time_per_output_token
        assert written <= single.latency
    assert not answering.get_output_embeddings()._forward_hooks


def test_other_architectures_are_timed_too(
    architecture: tuple[str, Any], tokenizer: Any, make_prompts: MakePrompts
) -> None:
    _, model = architecture
    prompts = make_prompts(3)
    subject = subject_of(model, tokenizer, prompts, 4)
    assert len(subject.batch(prompts)) == 3
    subject.single(prompts[0])
    assert len(subject.clock.moments) == 4


def test_text_goes_on_behind_its_end(model: Any, tokenizer: Any, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(2)
    subject = subject_of(model, tokenizer, prompts, 8)
    (ids,) = subject.write(encoding.contexts(tokenizer, prompts[:1]))
    ending = copy.deepcopy(tokenizer)
    ending.eos_token = tokenizer.convert_ids_to_tokens(ids[2])
    ended = subject_of(model, ending, prompts, 8)
    assert ids[2] in ended.eos_ids
    answer = ended.single(prompts[0]).answer
    assert len(ended.clock.moments) == 8
    assert answer == tokenizer.decode(ids[: ids.index(ids[2])], skip_special_tokens=True)
    assert answer != subject.single(prompts[0]).answer


def test_tokens_that_cannot_be_told_apart_are_an_error(
    model: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(2)
    subject = subject_of(model, tokenizer, prompts, 3)
    subject.clock._layer = model.model.layers  # which is a list, and never called
    with pytest.raises(EvaluationError, match="ran 0 times for 3 tokens"):
        subject.single(prompts[0])


# rounds -----------------------------------------------------------------------------------------


class Fake:
    """A subject whose single requests take as long as their prompt's number says."""

    def __init__(self, seconds: Callable[[int], float] = lambda _: 1.0) -> None:
        self.score = None
        self.seconds = seconds
        self.asked: list[str] = []
        self.sizes: list[int] = []

    def single(self, prompt: Prompt) -> RequestTimes:
        self.asked.append(prompt.id)
        return RequestTimes(1.0, 0.5, 0.1, prompt.id)

    def batch(self, prompts: Sequence[Prompt]) -> list[str]:
        self.sizes.append(len(prompts))
        return [prompt.id for prompt in prompts]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A subject that takes a second for a batch of up to 16, and longer for larger ones."""
    made = Fake(lambda size: max(1.0, size / 16))

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        found = work()
        return made.seconds(made.sizes[-1]), found

    monkeypatch.setattr(rounds, "timed", timed)
    return made


def rates(fake: Any, drawn: list[Prompt], **given: Any) -> dict[str, Any]:
    found = rounds.measure(fake, drawn, Timing(**{"prompts": 4, "new_tokens": 2} | given))
    return {name: value for name, value in found.metrics.items() if "_batch_" in name}


def test_batches_grow_until_more_brings_nothing(fake: Fake, make_prompts: MakePrompts) -> None:
    found = rates(fake, make_prompts(10))
    assert {name: value for name, value in found.items() if name.startswith("requests")} == {
        "requests_per_s_batch_1": 1,
        "requests_per_s_batch_4": 4,
        "requests_per_s_batch_16": 16,
        "requests_per_s_batch_64": 16,
    }
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
    settings = Timing(prompts=8, repeats=3, batch_sizes=[1], new_tokens=2)
    first = rounds.measure(fake, prompts, settings)  # type: ignore[arg-type]
    warm, *orders = [fake.asked[:-24], fake.asked[-24:-16], fake.asked[-16:-8], fake.asked[-8:]]
    assert len(warm) == first.metrics["warmup_requests"] == 6
    assert {tuple(sorted(order)) for order in orders} == {
        tuple(sorted(prompt.id for prompt in prompts))
    }
    assert len(set(map(tuple, orders))) == 3
    assert first.answers == [prompt.id for prompt in prompts]
    again = Fake()
    rounds.measure(again, prompts, settings)  # type: ignore[arg-type]
    assert again.asked == fake.asked


def test_prompts_are_drawn_from_all_test_prompts(
    tiny: models.Base, make_prompts: MakePrompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Prompt]] = []

    def look(_: Any, prompts: list[Prompt], settings: Timing) -> Any:
        seen.append(prompts[: settings.prompts])
        return rounds.Measurement({}, [""])

    monkeypatch.setattr(timing, "measure", look)
    prompts = make_prompts(40)
    for _ in range(2):
        timing.time_inference(tiny, ASKED, prompts, SETTINGS, labels=[], trained=None)
    assert seen[0] == seen[1] == random.Random(timing.SEED).sample(prompts, 40)[:3]
    assert seen[0] != prompts[:3]


# the clock --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "least", "expected"),
    [
        ([1.0] * 40, 2, (6, True, 1.0)),
        ([1.0] * 40, 10, (12, True, 1.0)),
        ([9.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 1, (12, True, 1.0)),
        ([1.0, 9.0, 1.0, 1.0, 1.0, 9.0], 1, (6, True, 1.0)),
        ([2.0 ** -(index // 3) for index in range(90)], 1, (30, False, 2.0**-9)),
        ([2.0 ** -(index // 3) for index in range(90)], 40, (42, False, 2.0**-13)),
    ],
)
def test_warm_up_ends_when_requests_are_steady(
    seconds: list[float], least: int, expected: tuple[int, bool, float]
) -> None:
    left = iter(seconds)

    def window() -> list[float]:
        return [next(left) for _ in range(3)]

    assert clock.warm_up(window, least) == expected


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_afterwards(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), clock.garbage_collection_off():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
