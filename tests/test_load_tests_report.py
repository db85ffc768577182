"""What load tests show in the tables."""

import copy
from typing import Any

import pytest
from projects import VALID

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.models import outcomes
from tunebench.paths import Run
from tunebench.report import load_tests
from tunebench.report.summary import Record

FOUND: dict[str, Any] = {
    "server": "own", "artifact": "merged", "prefix_cache": "on",
    "answered_by": "one token", "objective": "latency_p99_s <= 1",
    "objective_met": True, "bounded": True, "offered_rps": 4.0,
    "sustained_rps": 4.0, "sustained_rps_low": 4.0, "sustained_rps_high": 5.0,
    "late_latency_p99_s": 0.004, "prefill_s": 0.3, "decode_s": 0.1,
    "requests": 100, "errors": 0, "timeouts": 0,
    "latency_p50_s": 0.2, "latency_p50_s_low": 0.1, "latency_p50_s_high": 0.3,
    "latency_p99_s_needs": 368,
    "tokens_in_mean": 50.0, "tokens_out_mean": 2.0, "accuracy": 0.8, "accuracy_low": 0.7,
    "accuracy_high": 0.9, "answers_that_differ": 0.01,
    "rates": {
        "1": {"offered_rps": 4.0, "verdict": "holds", "latency_p99_s_needs": 368},
        "2": {"offered_rps": 5.0, "verdict": "fails"},
    },
}  # fmt: skip


def tables(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any, price: float = 3.6
) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    given = copy.deepcopy(VALID)
    given["inference"] |= {
        "load_test": {"tuning": ["lora"], "prompting": []},
        "server": "own",
        "servers": {"own": {"command": "serve {model} {port}"}},
    }
    given["hardware"]["usd_per_hour"] = price
    records = [
        Record("tiny", "reviews", "classification", method, size, 8, 1, {}, {}, {})
        for method, size in (("lora", "0.5"), ("lora", "1.0"), ("zero_shot", "0"))
    ]
    results.write(paths.load_test(Run("tiny", "reviews", "lora")), found)
    return load_tests.build(records, Params.model_validate(given))


def test_answer_and_rates(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    built = tables(FOUND, monkeypatch, tmp_path)
    (row,) = built["load_test"]
    assert (row["method"], row["artifact"], row["bounded"]) == ("lora", "merged", "yes")
    assert row["answered_by"] == "one token"
    assert row["sustained_rps"] == 4.0
    assert row["accuracy_high"] == 0.9
    # a machine of $3.60 an hour costs $0.001 a second, which is four requests
    assert row["usd_per_1k_requests_at_100_percent"] == 0.25
    assert row["usd_per_1k_requests_at_50_percent"] == 0.5
    assert row["usd_per_1k_requests_at_10_percent"] == 2.5
    assert [rate["verdict"] for rate in built["rates"]] == ["holds", "fails"]
    assert (row["sustained_rps_low"], row["sustained_rps_high"]) == (4.0, 5.0)
    assert row["latency_p99_s_needs"] == 368
    assert row["latency_p50_s_high"] == 0.3


def test_prices_of_tokens_add_up_to_a_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (row,) = tables(FOUND, monkeypatch, tmp_path)["load_test"]
    # 50 tokens in take three quarters of a request's seconds, 2 tokens out one quarter
    assert row["usd_per_1m_tokens_in"] == 3.75
    assert row["usd_per_1m_tokens_out"] == 31.25
    per_request = (50 * row["usd_per_1m_tokens_in"] + 2 * row["usd_per_1m_tokens_out"]) / 1e6
    assert per_request == pytest.approx(row["usd_per_1k_requests_at_100_percent"] / 1000)


def test_answers_of_one_token_are_all_prefill(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (row,) = tables(FOUND | {"decode_s": 0.0}, monkeypatch, tmp_path)["load_test"]
    assert (row["usd_per_1m_tokens_in"], row["usd_per_1m_tokens_out"]) == (5.0, 0.0)


def test_a_price_of_nothing_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (row,) = tables(FOUND, monkeypatch, tmp_path, price=0.0)["load_test"]
    assert not [name for name in row if name.startswith("usd")]


def test_an_objective_that_no_rate_meets(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    missed = {name: value for name, value in FOUND.items() if name != "sustained_rps"}
    missed |= {"objective_met": False, "errors": 3, "timeouts": 2, "late_latency_p99_s": 0.06}
    missed |= {"most_common_error": "ReadTimeout('')"}
    (row,) = tables(missed, monkeypatch, tmp_path)["load_test"]
    assert (row["sustained_rps"], row["artifact"]) == (None, "merged")
    assert row["note"] == (
        "no rate meets latency_p99_s <= 1: at 4 requests/s 6% above latency_p99_s, 5 of 100 failed,"
        " most by ReadTimeout('')"
    )
    (row,) = tables(missed | {"needs_longer": True}, monkeypatch, tmp_path)["load_test"]
    assert row["note"].startswith("no rate is shown to meet latency_p99_s <= 1: ")
    assert row["note"].endswith("; raise longest_hold_s")


def test_what_cannot_be_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    built = tables(outcomes.not_servable("own"), monkeypatch, tmp_path)
    assert built["load_test"][0]["note"].startswith("in-process only")
    assert "rates" not in built
