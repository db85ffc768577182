"""The search for a rate, what a load amounts to, and what its answers are worth."""

import math
from typing import Any

import pytest
from pydantic import ValidationError
from vocabularies import trained

from tunebench.config.inference import Server, Serving
from tunebench.config.schema import Evaluation
from tunebench.evaluation import Answering
from tunebench.models import outcomes
from tunebench.prompts import Prompt
from tunebench.prompts.encoding import AnswerFormat
from tunebench.serving import measures, quality
from tunebench.serving.asking import Written, asking
from tunebench.serving.lateness import Verdict
from tunebench.serving.load import NO_COMPLETION, Load, Request
from tunebench.serving.search import SearchResult, highest_rate, plan_of

OBJECTIVE = {"latency_p90_s": 1.0}


def answered(latency_s: float, *, due: float = 0.0, prompt: int = 0, text: str = "a") -> Request:
    return Request(prompt, due, due, due + latency_s / 2, due + latency_s, text, 10, 2)


def load(rate: float, *latencies_s: float, verdict: Verdict = "undecided") -> Load:
    """Requests that fall due evenly."""
    requests = [answered(each, due=index / rate) for index, each in enumerate(latencies_s)]
    return Load(rate, len(requests), requests, verdict)


def settings(**given: Any) -> Serving:
    return Serving(**{"objective": OBJECTIVE, "min_requests": 20, "hold_s": 1.0} | given)


def stands(most: float, until: float = 0.0) -> Any:
    """A server that is shown to hold up to a rate, and to fail above another."""

    def measure(rate: float) -> Load:
        verdict: Verdict = "holds" if rate <= most else "fails" if rate > until else "undecided"
        return load(rate, *[0.5 if rate <= most else 1.5] * 20, verdict=verdict)

    return measure


@pytest.mark.parametrize("first", [0.01, 1.0, 7.3, 500.0])
@pytest.mark.parametrize("most", [0.4, 3.0, 7.3])
def test_the_rate_is_found_as_precisely_as_asked(first: float, most: float) -> None:
    found = highest_rate(
        stands(most), first, settings(rate_precision=0.05, max_rates=40, longest_hold_s=1e6)
    )
    assert found.best
    assert found.lowest_failed
    assert most / 1.05 <= found.best.rate <= most < found.lowest_failed.rate <= most * 1.05
    told = measures.of_search(found, OBJECTIVE)
    assert told["sustained_rps"] == told["sustained_rps_low"] <= most < told["sustained_rps_high"]
    assert told["bounded"]


def test_both_edges_of_what_is_undecided_are_found() -> None:
    found = highest_rate(
        stands(3.0, 7.3), 1.0, settings(rate_precision=0.05, max_rates=40, longest_hold_s=1e6)
    )
    assert found.best
    assert found.lowest_failed
    tried = sorted(load.rate or 0 for load in found.loads)
    assert 3.0 / 1.05 <= found.best.rate <= 3.0
    assert 7.3 <= found.lowest_failed.rate <= 7.3 * 1.05
    assert min(rate for rate in tried if rate > 3.0) <= 3.0 * 1.05
    assert len(tried) <= 20


def test_no_rate_holds_above_one_that_fails() -> None:
    loads = [load(rate, 0.5, verdict=verdict) for rate, verdict in
             ((1.0, "holds"), (2.0, "fails"), (4.0, "holds"))]  # fmt: skip
    found = SearchResult(loads)
    assert found.best
    assert found.lowest_failed
    assert (found.best.rate, found.lowest_failed.rate) == (1.0, 2.0)


def test_no_rate_holds() -> None:
    found = highest_rate(stands(0), 8.0, settings(max_rates=5, longest_hold_s=1e4))
    assert found.best is None
    assert [load.rate for load in found.loads] == [8, 4, 2, 1, 0.5]
    assert found.nearest.rate == 0.5
    told = measures.of_search(found, OBJECTIVE)
    assert told["objective_met"] is False
    assert told["needs_longer"] is False
    assert "sustained_rps" not in told
    assert told["offered_rps"] == 0.5
    assert told["late_latency_p90_s"] == 1


def test_rates_too_low_to_be_decided_are_not_tried() -> None:
    found = highest_rate(stands(0, 99), 8.0, settings(longest_hold_s=60))
    assert [load.rate for load in found.loads] == [8, 4, 2]  # 1/s for 60 s are too few requests
    told = measures.of_search(found, OBJECTIVE)
    assert (told["objective_met"], told["needs_longer"]) == (False, True)
    assert outcomes.note(told) == (
        "no rate is shown to meet latency_p90_s <= 1: at 2 requests/s 100% above latency_p90_s;"
        " raise longest_hold_s"
    )


def test_every_rate_holds() -> None:
    found = highest_rate(stands(math.inf), 1.0, settings(max_rates=4))
    assert found.best
    assert found.best.rate == 8
    told = measures.of_search(found, OBJECTIVE)
    assert told["bounded"] is False
    assert "sustained_rps_high" not in told


def test_failed_requests_are_late_and_counted() -> None:
    good, bad = answered(0.1), Request(0, 0.0, 0.0, None, None, error="ReadTimeout('')")
    told = measures.of_load(Load(1.0, 10, [good] * 8 + [bad] * 2), OBJECTIVE)
    assert (told["requests"], told["errors"], told["timeouts"]) == (10, 0, 2)
    assert told["late_latency_p90_s"] == 0.2
    assert told["most_common_error"] == "ReadTimeout('')"


def test_percentiles_and_rates_are_those_of_the_requests() -> None:
    told = measures.of_load(load(2.0, *(index / 100 for index in range(1, 101))), OBJECTIVE)
    assert told["latency_p50_s"] == pytest.approx(0.505)
    assert 0.3 < told["latency_p50_s_low"] < 0.5 < told["latency_p50_s_high"] < 0.7
    assert told["client_lag_p50_s"] == 0
    assert told["achieved_rps"] == pytest.approx(100 / (99 / 2 + 1.0))
    assert (told["tokens_in_mean"], told["tokens_out_mean"]) == (10, 2)


def test_a_percentile_that_few_requests_do_not_tell_is_absent() -> None:
    few = measures.of_load(load(2.0, *[0.1] * 367), OBJECTIVE)
    assert "latency_p99_s" not in few
    assert few["latency_p99_s_needs"] == 368
    enough = measures.of_load(load(2.0, *[0.1] * 368), OBJECTIVE)
    assert "latency_p99_s_needs" not in enough
    assert enough["latency_p99_s"] == enough["latency_p99_s_high"] == pytest.approx(0.1)


def test_requests_cut_off_by_an_early_end_are_no_errors() -> None:
    cut = Request(0, 0.0, 0.0, None, None, error="Request was cancelled", cancelled=True)
    ended = Load(4.0, 10, [answered(2.0), cut], "fails")
    assert measures.of_load(ended, OBJECTIVE)["errors"] == 0
    assert measures.line(ended, OBJECTIVE) == ("4 requests/s, 100% of 2 above latency_p90_s: fails")


def test_seconds_of_a_request_alone() -> None:
    lagged = Request(0, 0.0, 0.5, 0.8, 1.5, "a b", 10, 2)
    assert measures.of_single([Load(None, 1, [lagged])]) == pytest.approx(
        {"prefill_s": 0.3, "decode_s": 0.7}
    )
    one_token = Request(0, 0.0, 0.5, 0.8, 0.9, "a", 10, 1)
    assert measures.of_single([Load(None, 1, [one_token])]) == pytest.approx(
        {"prefill_s": 0.4, "decode_s": 0.0}
    )


def test_tokens_that_a_server_does_not_count_are_absent() -> None:
    silent = Request(0, 0.0, 0.0, 0.1, 0.2, "text")
    assert "tokens_out_mean" not in measures.of_load(Load(1.0, 1, [silent]), OBJECTIVE)


def test_an_answer_without_text_and_count_is_none() -> None:
    record = dict.fromkeys(("sent", "first_token", "end"), 1.0) | {"prompt": 0, "due": 0.5}
    empty = {"text": "", "tokens_in": None, "tokens_out": None, "error": None}
    assert Request.from_record(record | empty).error == NO_COMPLETION
    assert not Request.from_record(record | empty | {"tokens_out": 1}).error


def test_lines_say_what_was_tried() -> None:
    assert measures.line(load(4.0, *[0.25] * 10, verdict="holds"), OBJECTIVE) == (
        "4 requests/s, 0% of 10 above latency_p90_s: holds"
    )
    failed = Load(4.0, 10, [answered(0.25), Request(0, 0.0, 0.0, None, None, error="x")], "fails")
    assert measures.line(failed, OBJECTIVE) == (
        "4 requests/s, 50% of 2 above latency_p90_s, 1 failed, most by x: fails"
    )


def test_rates_are_held_for_as_long_as_they_may_need() -> None:
    how = settings(hold_s=30.0, longest_hold_s=100.0)
    plan = plan_of(10.0, how)
    assert (plan.first, plan.hold, plan.most) == (20, 300, 1000)
    assert plan.looks == [20, 40, 80, 160, 320, 640, 1000]
    assert plan_of(0.1, how).looks == [20]
    with pytest.raises(ValidationError, match=r"longest_hold_s: is shorter than hold_s = 30"):
        settings(hold_s=30.0, longest_hold_s=20.0)


def written(labels: list[str], generation: dict[str, Any]) -> Written:
    return Written(Answering(labels, Evaluation(), generation), AnswerFormat())


def test_requests_say_how_text_is_to_be_written() -> None:
    greedy = {"do_sample": False, "max_new_tokens": 7, "top_p": 0.5}
    assert written([], greedy).body == {"max_tokens": 7, "temperature": 0}
    drawn = {"do_sample": True, "max_new_tokens": 9, "temperature": 0.7}
    assert written([], drawn).body == {"max_tokens": 9, "temperature": 0.7}


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
    asked = written(["yes", "no"], {"max_new_tokens": 2})
    evaluated = {"a": "yes", "b": "yes", "c": None}
    told, rows = quality.judge(requests, prompts, asked.answering, asked, evaluated)
    assert (told["rows"], told["accuracy"]) == (3, pytest.approx(2 / 3, rel=1e-5))
    assert told["answers_that_differ"] == pytest.approx(1 / 3, rel=1e-5)
    assert told["no_label"] == pytest.approx(1 / 3, rel=1e-5)
    assert [row["answer"] for row in rows] == ["yes", "no", None]
    assert told["answers_at_limit"] == 1  # each has two tokens


CHOOSING = Server(command="serve {model} {port}", allowed_tokens="allowed_token_ids")


def choices(
    kind: str, *labels: str, server: Server = CHOOSING, lead: str = " ", **given: Any
) -> Any:
    """What is asked after `Answer:`, where the template writes `lead` before a label."""
    answer = (len(lead), len(lead) + len(labels[0]))
    one = Prompt("a", "Was it?\nAnswer:", f"{lead}{labels[0]}", label=labels[0], answer=answer)
    return asking(trained(kind), [one], Answering(labels, Evaluation(**given), {}), server)


@pytest.mark.parametrize("kind", ["llama3", "llama2", "gemma", "gpt2", "wordpiece", "unigram"])
def test_labels_whose_first_tokens_differ_are_told_by_one(kind: str) -> None:
    asked = choices(kind, "yes", "no")
    (choice,) = asked.choices.values()
    assert asked.answered_by == "one token"
    first = [head.tokens for head in choice.heads]
    assert asked.body == {
        "max_tokens": 1,
        "temperature": 0,
        "allowed_token_ids": sorted(token for (token,) in first),
    }
    for label, tokens in zip(("yes", "no"), first, strict=True):
        assert asked.read(PROMPT, trained(kind).decode(tokens))["answer"] == label
    assert asked.read(PROMPT, "maybe") == {"answer": None, "strict": False, "text": "maybe"}


PROMPT = Prompt("a", "", "")


def test_tokens_that_all_labels_begin_with_follow_the_prompt() -> None:
    lead = " the answer is "
    asked = choices("llama3", "yes", "no", lead=lead)
    assert trained("llama3").decode(asked.appended["a"]) == lead.rstrip()
    assert asked.max_tokens == 1
    alone = choices("llama3", "yes", lead=lead)  # which leaves one token to be chosen
    assert len(alone.appended["a"]) == len(asked.appended["a"])
    assert alone.read(PROMPT, "yes")["answer"] == "yes"


def test_labels_that_begin_alike_take_the_tokens_that_tell_them() -> None:
    asked = choices("llama3", "alpha", "alpha beta", "beta")
    assert asked.answered_by == "constrained tokens"
    assert asked.body["max_tokens"] == 2
    ids = trained("llama3").convert_tokens_to_ids(["\u0120alpha", "\u0120beta", "</s>"])
    assert asked.tokens == sorted(ids)
    read = {text: asked.read(PROMPT, text)["answer"] for text in
            (" alpha", " alpha beta", " beta alpha", " alpha alpha", "")}  # fmt: skip
    assert read == {" alpha": "alpha", " alpha beta": "alpha beta", " beta alpha": "beta",
                    " alpha alpha": None, "": None}  # fmt: skip


def test_an_end_is_asked_for_where_only_it_tells_labels() -> None:
    asked = choices("llama3", "alpha", "alpha beta", label_end="never")
    assert (asked.answered_by, len(asked.appended["a"])) == ("one token", 1)
    assert asked.read(PROMPT, "")["answer"] == "alpha"
    assert asked.read(PROMPT, " beta")["answer"] == "alpha beta"


@pytest.mark.parametrize("kind", ["llama3", "gpt2", "llama2"])
def test_labels_are_told_by_whole_characters(kind: str) -> None:
    """Byte-level tokens may be a part of one, which a server holds back."""
    asked = choices(kind, "\u662f", "\uc608", "\u0434\u0430", lead="")
    for head in asked.choices["a"].heads:
        assert "\ufffd" not in head.text
        assert asked.read(PROMPT, trained(kind).decode(head.tokens))["answer"] == head.label


def test_a_server_that_reads_its_model_s_generation_config_finds_the_tokens_there() -> None:
    server = CHOOSING.model_copy(update={"allowed_tokens": "generation_config"})
    asked = choices("llama3", "yes", "no", server=server)
    assert asked.body == {"max_tokens": 1, "temperature": 0}
    assert asked.generation == {
        "do_sample": False,
        "max_new_tokens": 1,
        "sequence_bias": [[[token], 1000.0] for token in asked.tokens],
    }


def test_labels_are_written_where_they_are_not_scored_or_no_tokens_can_be_allowed() -> None:
    assert choices("llama3", "yes", "no", mode="generate").answered_by == "written"
    server = CHOOSING.model_copy(update={"allowed_tokens": None})
    asked = choices("llama3", "yes", "no", server=server)
    assert (asked.answered_by, asked.appended) == ("written", {})
    assert asked.read(PROMPT, "**No.**")["answer"] == "no"


def test_chosen_labels_are_judged_without_a_limit() -> None:
    asked = choices("llama3", "yes", "no")
    how = Answering(["yes", "no"], Evaluation(), {})
    told, rows = quality.judge(
        [answered(0.1, text=" no"), answered(0.1, prompt=1, text=" yes")],
        [prompt("a", "yes"), prompt("a", "yes")],
        how,
        asked,
        {"a": "yes"},
    )
    assert (told["accuracy"], told["answers_that_differ"], told["no_label"]) == (0.5, 0.5, 0)
    assert "answers_at_limit" not in told
    assert all("ended" not in row for row in rows)


def test_nothing_answered_has_no_quality() -> None:
    failed = Request(0, 0.0, 0.0, None, None, error="x")
    asked = written([], {})
    assert quality.judge([failed], [prompt("a", "yes")], asked.answering, asked, {}) == ({}, [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one source: command or url"),
        ({"command": "serve {model}"}, "command: has no {port}"),
        ({"command": "serve {model} {port} {gpu}"}, "command: {gpu} is unknown"),
        ({"command": "serve {model} {port} {"}, "write a literal brace twice"),
        ({"url": "http://x"}, "model: is missing"),
        (
            {"url": "http://x", "model": "m", "allowed_tokens": "generation_config"},
            "allowed_tokens: generation_config goes with command only",
        ),
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
