"""The search for a rate, what a load amounts to, and what its answers are worth."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from tunebench.config.inference import Server, Serving
from tunebench.config.schema import Evaluation
from tunebench.evaluation import Answering
from tunebench.prompts import Prompt
from tunebench.prompts.encoding import AnswerFormat
from tunebench.serving import _request_body, measures, quality
from tunebench.serving.load import NO_COMPLETION, Load, Request
from tunebench.serving.search import highest_rate, requests_at

OBJECTIVE = {"latency_p90_s": 1.0}


def answered(latency_s: float, *, due: float = 0.0, prompt: int = 0, text: str = "a") -> Request:
    return Request(prompt, due, due, due + latency_s / 2, due + latency_s, text, 10, 2)


def load(rate: float, *latencies_s: float, planned: int | None = None) -> Load:
    """Requests that fall due evenly."""
    requests = [answered(each, due=index / rate) for index, each in enumerate(latencies_s)]
    return Load(rate, planned or len(requests), requests)


def settings(**given: Any) -> Serving:
    return Serving(**{"objective": OBJECTIVE, "min_requests": 20, "hold_s": 1.0} | given)


def stands(most: float) -> Any:
    """A server that keeps the objective up to a rate."""
    return lambda rate: load(rate, *[0.5 if rate <= most else 1.5] * 20)


@pytest.mark.parametrize("first", [0.01, 1.0, 7.3, 500.0])
@pytest.mark.parametrize("most", [0.4, 3.0, 7.3])
def test_the_rate_is_found_as_precisely_as_asked(first: float, most: float) -> None:
    found = highest_rate(stands(most), first, settings(rate_precision=0.05, max_rates=40))
    assert found.best
    assert found.bounded
    assert most / 1.05 <= found.best.rate <= most


def test_no_rate_holds() -> None:
    found = highest_rate(stands(0), 8.0, settings(max_rates=5))
    assert found.best is None
    assert [load.rate for load in found.loads] == [8, 4, 2, 1, 0.5]
    assert found.nearest.rate == 0.5
    told = measures.of_search(found, OBJECTIVE)
    assert told["objective_met"] is False
    assert "sustained_rps" not in told
    assert told["offered_rps"] == 0.5
    assert told["latency_p99_s"] == 1.5


def test_every_rate_holds() -> None:
    found = highest_rate(stands(math.inf), 1.0, settings(max_rates=4))
    assert found.best
    assert found.best.rate == 8
    assert not found.bounded
    assert measures.of_search(found, OBJECTIVE)["bounded"] is False


def test_failed_requests_and_those_never_sent_are_late() -> None:
    good, bad = answered(0.1), Request(0, 0.0, 0.0, None, None, error="ReadTimeout('')")
    assert Load(1.0, 10, [good] * 9 + [bad]).meets(OBJECTIVE)
    assert not Load(1.0, 10, [good] * 8 + [bad] * 2).meets(OBJECTIVE)
    assert not Load(1.0, 10, [good] * 8).meets(OBJECTIVE)
    told = measures.of_load(Load(1.0, 10, [good] * 8 + [bad] * 2))
    assert (told["requests"], told["errors"], told["timeouts"]) == (10, 0, 2)


def test_all_limits_must_hold() -> None:
    both = {"latency_p90_s": 1.0, "time_to_first_token_p50_s": 0.2}
    assert load(1.0, *[0.3] * 10).meets(both)
    assert not load(1.0, *[0.6] * 10).meets(both)


def test_percentiles_and_rates_are_those_of_the_requests() -> None:
    told = measures.of_load(load(2.0, *(index / 100 for index in range(1, 101))))
    assert told["latency_p50_s"] == pytest.approx(0.505)
    assert told["time_to_first_token_p99_s"] == pytest.approx(0.9901 / 2, rel=1e-2)
    assert told["client_lag_p99_s"] == 0
    assert told["achieved_rps"] == pytest.approx(100 / (99 / 2 + 1.0))
    assert (told["tokens_in_mean"], told["tokens_out_mean"]) == (10, 2)


def test_requests_cut_off_by_an_early_end_are_no_errors() -> None:
    cut = Request(0, 0.0, 0.0, None, None, error="Request was cancelled", cancelled=True)
    ended = Load(4.0, 10, [answered(2.0), cut])
    assert measures.of_load(ended)["errors"] == 0
    assert measures.line(ended, OBJECTIVE) == (
        "4 requests/s, ended after 2 of 10, too many of them late: does not hold"
    )


def test_a_rate_by_chance_above_the_offered_is_not_sustained() -> None:
    hurried = Load(1.0, 20, [answered(0.1, due=index / 2) for index in range(20)])
    found = highest_rate(lambda _: hurried, 1.0, settings(max_rates=1))
    assert measures.of_search(found, OBJECTIVE)["sustained_rps"] == 1.0


def test_tokens_that_a_server_does_not_count_are_absent() -> None:
    silent = Request(0, 0.0, 0.0, 0.1, 0.2, "text")
    assert "tokens_out_mean" not in measures.of_load(Load(1.0, 1, [silent]))


def test_an_answer_without_text_and_count_is_none() -> None:
    record = dict.fromkeys(("sent", "first_token", "end"), 1.0) | {"prompt": 0, "due": 0.5}
    empty = {"text": "", "tokens_in": None, "tokens_out": None, "error": None}
    assert Request.from_record(record | empty).error == NO_COMPLETION
    assert not Request.from_record(record | empty | {"tokens_out": 1}).error


def test_lines_say_what_was_tried() -> None:
    assert measures.line(load(4.0, *[0.25] * 10), OBJECTIVE) == (
        "4 requests/s, latency p90 0.25 s: holds"
    )
    failed = Load(4.0, 10, [answered(0.25), Request(0, 0.0, 0.0, None, None, error="x")])
    assert measures.line(failed, OBJECTIVE) == (
        "4 requests/s, 1 of 2 failed, ended after 2 of 10, too many of them late: does not hold"
    )


def test_rates_are_held_for_their_percentiles_and_for_a_while() -> None:
    assert requests_at(0.1, settings(hold_s=30.0)) == 20
    assert requests_at(10.0, settings(hold_s=30.0)) == 300


def test_requests_say_how_text_is_to_be_written() -> None:
    greedy = {"do_sample": False, "max_new_tokens": 7, "top_p": 0.5}
    assert _request_body(greedy) == {"max_tokens": 7, "temperature": 0}
    drawn = {"do_sample": True, "max_new_tokens": 9, "temperature": 0.7}
    assert _request_body(drawn) == {"max_tokens": 9, "temperature": 0.7}


def prompt(id_: str, label: str) -> Prompt:
    return Prompt(id_, "text", f" {label}", label=label)


def test_answers_under_load_are_judged_and_compared() -> None:
    prompts = [prompt("a", "yes"), prompt("b", "no"), prompt("c", "no")]
    requests = [
        answered(0.1, prompt=0, text=" yes"),
        answered(0.1, prompt=0, text=" no"),  # the same prompt again: it counts once
        answered(0.1, prompt=1, text="No."),
        answered(0.1, prompt=2, text="maybe"),
    ]
    how = Answering(["yes", "no"], Evaluation(), {})
    told, rows = quality.judge(
        requests, prompts, how, AnswerFormat(), {"a": "yes", "b": "yes", "c": None}
    )
    assert (told["rows"], told["accuracy"]) == (3, pytest.approx(2 / 3, rel=1e-5))
    assert told["answers_that_differ"] == pytest.approx(1 / 3, rel=1e-5)
    assert told["no_label"] == pytest.approx(1 / 3, rel=1e-5)
    assert [row["answer"] for row in rows] == ["yes", "no", None]


def test_nothing_answered_has_no_quality() -> None:
    failed = Request(0, 0.0, 0.0, None, None, error="x")
    how = Answering([], Evaluation(), {})
    assert quality.judge([failed], [prompt("a", "yes")], how, AnswerFormat(), {}) == ({}, [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one source: command or url"),
        ({"command": "serve {model}"}, "command: has no {port}"),
        ({"command": "serve {model} {port} {gpu}"}, "command: {gpu} is unknown"),
        ({"command": "serve {model} {port} {"}, "write a brace that is no place twice"),
        ({"url": "http://x"}, "model: is missing"),
        ({"url": "http://x", "model": "m", "adapter_arguments": "-a"}, "goes with command only"),
        ({"command": "s {model} {port}", "adapter_arguments": "{adapter}"}, "adapter_name: is"),
    ],
)
def test_servers_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Server(**given)
    assert said in str(error.value)


@pytest.mark.parametrize("limit", ["latency_p42_s", "latency_s", "throughput"])
def test_objectives_that_cannot_be(limit: str) -> None:
    with pytest.raises(ValidationError, match="is no limit"):
        settings(objective={limit: 1.0})
