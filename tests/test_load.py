"""Load on a server whose service times are known, and on servers that fail."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from scipy.stats import kstest
from test_servers import SERVED, own

from tunebench import models, paths
from tunebench.config.inference import Serving
from tunebench.config.schema import Evaluation, PeftMethod, PromptingMethod
from tunebench.errors import ServingError
from tunebench.evaluation import Answering
from tunebench.models import outcomes
from tunebench.prompts import DoesNotFit, Prompt
from tunebench.serving import Outcome, load_test, servers
from tunebench.serving.lateness import Limit, Plan
from tunebench.serving.load import Generator, Load, guidellm

PROMPTS = [f"prompt {number}" for number in range(40)]
SERVICE_S = 0.5


@contextmanager
def loaded(
    folder: Path, options: str, *, timeout_s: float = 30.0
) -> Iterator[tuple[Generator, Any]]:
    with (
        servers.running("own", own(options), SERVED, folder / "server.log") as endpoint,
        guidellm(
            endpoint,
            PROMPTS,
            body={"max_tokens": 5},
            timeout_s=timeout_s,
            log=folder / "guidellm.log",
        ) as source,
    ):
        yield source, endpoint


def in_theory(load: Load, service_s: list[float]) -> list[float]:
    """Latencies of one worker that serves in order, by Lindley's recursion."""
    free, found = 0.0, []
    in_order = sorted(load.requests, key=lambda request: request.due)
    for request, seconds in zip(in_order, service_s, strict=True):
        free = max(free, request.due) + seconds
        found.append(free - request.due)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("utilization", [0.5, 0.8])
def test_latency_is_what_queueing_theory_says(tmp_path: Path, utilization: float) -> None:
    with loaded(tmp_path, f"--service-s {SERVICE_S}") as (source, endpoint):
        source.load(None, 3, seed=0)
        load = source.load(utilization / SERVICE_S, 40, seed=1)
        with urllib.request.urlopen(f"{endpoint.url}/served") as answer:
            served = [seconds for _, seconds, _ in json.load(answer)][3:]
    theory = in_theory(load, served)
    measured = [request.seconds("latency") for request in load.successful]
    assert len(measured) == 40
    assert np.percentile(measured, 50) == pytest.approx(np.percentile(theory, 50), rel=0.03)
    assert np.percentile(measured, 99) == pytest.approx(np.percentile(theory, 99), rel=0.08)


def test_arrivals_are_a_poisson_process(tmp_path: Path) -> None:
    with loaded(tmp_path, "") as (source, _):
        load = source.load(100.0, 400, seed=3)
    gaps = np.diff(sorted(request.due for request in load.requests))
    assert len(gaps) == 399
    assert gaps.mean() == pytest.approx(0.01, rel=0.15)
    # not by the deviation: a machine that stalls may leave out some arrivals
    assert kstest(gaps, "expon", args=(0, 0.01)).pvalue > 0.01
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.15  # each gap is independent of the last


def test_every_prompt_comes_before_any_comes_again(tmp_path: Path) -> None:
    with loaded(tmp_path, "") as (source, _):
        load = source.load(None, 60, seed=0)
        again, other = (source.load(None, 60, seed=seed) for seed in (0, 1))
    order = [request.prompt for request in load.requests]
    assert sorted(order[:40]) == list(range(40))
    assert order == [request.prompt for request in again.requests]
    assert order != [request.prompt for request in other.requests]
    assert (load.requests[0].text, load.requests[0].tokens_in) == ("positive", 2)


def plan(percent: float, seconds: float, *, first: int, most: int) -> Plan:
    return Plan([Limit("latency", 1 - percent / 100, seconds)], first=first, hold=first, most=most)


@pytest.mark.slow
def test_a_hopeless_rate_ends_early(tmp_path: Path) -> None:
    with loaded(tmp_path, f"--service-s {SERVICE_S}") as (source, _):
        load = source.decide(20.0, plan(90, 0.5, first=50, most=1000), seed=0)
    assert load.verdict == "fails"
    assert len(load.requests) == 50
    assert {request.error for request in load.requests if not request.cancelled} == {""}
    assert sum(request.cancelled for request in load.requests) > 20  # late before they end


def test_a_rate_that_few_requests_do_not_decide(tmp_path: Path) -> None:
    with loaded(tmp_path, "--service-s 0.001") as (source, _):
        load = source.decide(100.0, plan(99, 30.0, first=20, most=100), seed=0)
    assert load.verdict == "undecided"
    assert len(load.requests) == 100


def test_errors_are_counted(tmp_path: Path) -> None:
    with loaded(tmp_path, "--fail 10") as (source, _):
        load = source.load(50.0, 100, seed=0)
    errors = [request.error for request in load.requests if request.error]
    assert len(errors) == 10
    assert all("500" in error for error in errors)


@pytest.mark.slow
def test_requests_that_hang_time_out(tmp_path: Path) -> None:
    with loaded(tmp_path, "--hang 5", timeout_s=1.0) as (source, _):
        load = source.load(20.0, 20, seed=0)
    assert sum(request.timed_out for request in load.requests) == 4
    assert len(load.successful) == 16


def test_no_process_of_the_generator_is_left(tmp_path: Path) -> None:
    started: list[psutil.Process] = []
    with pytest.raises(KeyboardInterrupt), loaded(tmp_path, "") as (source, _):
        source.load(None, 2, seed=0)
        started += psutil.Process(source.process.pid).children(recursive=True)
        raise KeyboardInterrupt
    assert len(started) >= 2  # guidellm, and what forks its clients
    assert not any(process.is_running() for process in started)


@pytest.fixture
def prompts() -> list[Prompt]:
    return [
        Prompt(str(number), f"Is {number} good? ", " positive", label="positive")
        for number in range(20)
    ]


def put_to_test(
    tiny: models.Base,
    prompts: list[Prompt],
    folder: Path,
    options: str,
    *,
    allowed_tokens: str | None = None,
    **given: Any,
) -> Outcome:
    settings = Serving(
        server="own",
        servers={"own": own(options, allowed_tokens=allowed_tokens)},
        **{
            "objective": {"latency_p90_s": 0.6},
            "min_requests": 20,
            "hold_s": 0.5,
            "longest_hold_s": 1.0,
            "max_rates": 2,
        }
        | given,
    )
    how = Answering(["positive", "negative"], Evaluation(), {"max_new_tokens": 5})
    evaluated = {prompt.id: "positive" for prompt in prompts}
    return load_test(
        tiny,
        PromptingMethod(kind="prompting"),
        how,
        settings,
        prompts,
        trained=None,
        evaluated=evaluated | {"0": "negative"},
        folder=folder,
    )


@pytest.mark.slow
def test_a_load_test_too_short_to_decide(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    outcome = put_to_test(
        tiny, prompts, tmp_path, "--service-s 0.02 --seed 3", objective={"latency_p99_s": 30.0}
    )
    told = outcome.metrics
    assert (told["objective_met"], told["needs_longer"]) == (False, True)
    assert (told["server"], told["artifact"]) == ("own", "base")
    assert "sustained_rps" not in told
    assert told["latency_p99_s_needs"] == 368
    assert told["prefill_s"] > 0
    assert told["decode_s"] == 0  # its answers have one token
    assert told["answered_by"] == "written"
    assert told["accuracy"] == 1
    assert told["rows"] == len(outcome.predictions) == 20
    assert told["answers_that_differ"] == pytest.approx(1 / 20, rel=1e-5)
    assert told["rates"]["1"]["verdict"] == "undecided"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guidellm.log", "server.log"]
    assert told["errors"] == told["timeouts"] == 0


def test_labels_are_chosen_where_a_server_is_told_the_tokens(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    outcome = put_to_test(
        tiny, prompts, tmp_path, "--text other", allowed_tokens="allowed_token_ids", max_rates=1
    )
    told = outcome.metrics
    assert (told["answered_by"], told["no_label"], told["rows"]) == ("one token", 0, 20)
    # the server chose by the prompt's length, one of both tokens
    answers = {row["id"]: row["answer"] for row in outcome.predictions}
    assert set(answers.values()) == {"positive", "negative"}
    differing = sum(answers[id_] != ("negative" if id_ == "0" else "positive") for id_ in answers)
    assert told["answers_that_differ"] == pytest.approx(differing / 20, rel=1e-5)
    assert "answers_at_limit" not in told


@pytest.mark.slow
def test_a_whole_load_test(tiny: models.Base, prompts: list[Prompt], tmp_path: Path) -> None:
    told = put_to_test(
        tiny, prompts, tmp_path, "--service-s 0.05 --seed 3", longest_hold_s=60.0, max_rates=5
    ).metrics
    assert told["objective_met"]
    assert 2 < told["sustained_rps"] < 17  # at 16.2/s a tenth is above 0.6 s
    assert told["sustained_rps_low"] == told["sustained_rps"]
    assert told["late_latency_p90_s"] < 0.1


@pytest.mark.slow
def test_an_eighth_of_errors_meets_no_objective(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    told = put_to_test(
        tiny, prompts, tmp_path, "--fail 8", objective={"latency_p99_s": 5.0}
    ).metrics
    assert told["objective_met"] is False
    assert told["errors"] >= 1
    assert "500" in outcomes.note(told)
    assert "sustained_rps" not in told
    assert told["latency_p50_s"] < 5


@pytest.mark.slow
def test_a_server_that_dies_under_load(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    with pytest.raises(ServingError, match=r"servers\.own: the server ended with exit status 3"):
        put_to_test(tiny, prompts, tmp_path, "--die-after 30 --service-s 0.01")


def test_a_server_that_answers_garbage(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    with pytest.raises(ServingError, match=r"servers\.own: answers no request: "):
        put_to_test(tiny, prompts, tmp_path, "--garbage")


@pytest.mark.slow
def test_a_server_that_hangs(tiny: models.Base, prompts: list[Prompt], tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"servers\.own: answers no request: .*Timeout"):
        put_to_test(tiny, prompts, tmp_path, "--hang 1", timeout_s=0.5)


def test_what_no_server_can_be_given_is_an_outcome(
    tiny: models.Base, prompts: list[Prompt], tmp_path: Path
) -> None:
    method = PeftMethod(
        kind="peft", adapter={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}
    )
    models.with_adapter(models.load(tiny, method), method, {}).save_pretrained(tmp_path / "trained")
    how = Answering(["positive"], Evaluation(), {"max_new_tokens": 5})
    told = load_test(
        tiny,
        method,
        how,
        Serving(server="own", servers={"own": own()}),
        prompts,
        trained=tmp_path / "trained",
        evaluated={},
        folder=tmp_path / "test",
    ).metrics
    assert outcomes.note(told) == (
        "in-process only: it cannot be merged, and own takes no such adapter"
    )


def test_what_has_no_result_to_serve(tiny: models.Base, tmp_path: Path) -> None:
    how = Answering(["positive"], Evaluation(), {"max_new_tokens": 5})
    paths.failure(tmp_path).write_text(json.dumps({"diverged": True, "step": 3}))
    for prompts, trained in ((DoesNotFit(9, 8), None), ([], tmp_path)):
        method = PromptingMethod(kind="prompting")
        told = load_test(
            tiny, method, how, Serving(), prompts, trained=trained, evaluated={}, folder=tmp_path
        ).metrics
        assert told.get("does_not_fit") or told.get("diverged")
