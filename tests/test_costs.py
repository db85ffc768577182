"""What a decision costs in all, for numbers that can be worked out on paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import break_even, costs, demand, prices, repeatability, throughput
from tunebench.report.page.tables import shown
from tunebench.report.prices import Usd
from tunebench.report.summary import Record

OUT_OF_MEMORY = {"out_of_memory": True, "peak_memory_bytes": 23_400_000_000}
QUALITY = {"accuracy": 0.8, "accuracy_low": 0.75, "accuracy_high": 0.85}
Given = dict[str, Any]
Ends = tuple[float, float, float]


@pytest.fixture
def make_params(
    valid: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Params]:
    """Parameters of a machine of 0.001 dollars a second, with validation rows."""
    monkeypatch.chdir(tmp_path)

    def make(**sections: Any) -> Params:
        valid["hardware"] |= {"usd_per_hour": 3.6, "repeatability": 0.0}
        valid["datasets"]["reviews"]["validation_rows"] = 6
        valid["datasets"]["posts"] = valid["datasets"]["reviews"]
        for name, section in sections.items():
            valid[name] = valid.get(name, {}) | section
        return Params.model_validate(valid)

    return make


TESTED = {"load_test": {"tuning": ["lora"], "prompting": []}}


def record(method: str, *, rps: float = 0, **changed: Any) -> Record:
    """One point of the grid, its timing written where `rps` requests a second are given."""
    tuned = method not in ("zero_shot", "few_shot")
    given: Given = {
        "model": "tiny",
        "dataset": "reviews",
        "task": "classification",
        "method": method,
        "train_size": "1.0" if tuned else "0",
        "train_rows": 24 if tuned else 0,
        "seeds": 1,
        "quality": QUALITY,
        "training": {"usd_to_train": 0.017} if tuned else {},
        "inference": {},
    }
    made = Record(**given | changed)
    if rps:
        timed = {"requests_per_s_batch_1": rps / 4, "requests_per_s_batch_8": rps}
        results.write(paths.timing(run_of(made)), timed)
    return made


def run_of(made: Record) -> Run:
    return Run(made.model, made.dataset, made.method)


def three() -> list[Record]:
    """A method of each kind: dollars for a thousand requests are 0.01, 0.02 and 0.005."""
    return [record("zero_shot", rps=100), record("few_shot", rps=50), record("lora", rps=200)]


# arithmetic ------------------------------------------------------------------------------------


def test_errors_add_as_squares() -> None:
    first, second = Usd(10, 7, 13), Usd(5, 1, 9)
    assert first + second == Usd(15, 10, 20)
    assert first - second == Usd(5, 0, 10)
    assert first.times(2) == Usd(20, 14, 26)


def test_the_same_work_takes_another_time_in_another_run() -> None:
    known = prices.measured(2.0, (2.0, 2.0), 0.0)
    assert known == Usd.exact(2.0)
    between = prices.measured(2.0, (2.0, 2.0), 0.05)
    assert (between.low, between.high) == pytest.approx((2 / 1.103, 2 * 1.103), rel=1e-3)
    both = prices.measured(2.0, (2.0 / 1.1, 2.0 * 1.1), 0.05)
    assert both.low < between.low < between.high < both.high
    assert prices.measured(2.0, (0.0, 2.0), 0.05).low == 0  # a higher rate may be possible


UNTOLD = ("", "", "", "", "", "not distinguishable")
BREAK_EVENS = [  # once and for a thousand requests; the first method is a, the second b
    ((2, 2, 2), (0, 0, 0), (0.5,) * 3, (1,) * 3, ("b", "a", 4000, 4000, 4000, "")),
    ((0, 0, 0), (2, 2, 2), (1,) * 3, (0.5,) * 3, ("a", "b", 4000, 4000, 4000, "")),
    ((2, 1.8, 2.2), (0, 0, 0), (0.5, 0.4, 0.6), (1,) * 3, ("b", "a", 4000, 3000, 5500, "")),
    # the dearer one cannot be told to cost less for a request, but at most 0.2 less for a thousand
    ((2, 1, 3), (0, 0, 0), (1, 0.8, 1.2), (1,) * 3,
     ("b", "not distinguishable", None, 5000, None, "")),
    ((2, 1, 3), (2, 2, 2), (0.5, 0.4, 0.6), (1,) * 3,
     ("not distinguishable", "a", None, None, 2500, "")),
    ((2, 1, 3), (2, 1, 3), (1, 0.9, 1.1), (1, 0.9, 1.1), UNTOLD),
    ((0, 0, 0), (0, 0, 0), (1, 0.9, 1.1), (1, 0.9, 1.1), UNTOLD),
    ((0, 0, 0), (0, 0, 0), (1, 0.9, 1.1), (2, 1.9, 2.1), ("", "", "", "", "", "a")),
    ((2, 1, 3), (0, 0, 0), (1, 0.9, 1.1), (1, 1, 1),
     ("b", "not distinguishable", None, 10_000, None, "")),
    ((2, 1, 3), (0, 0, 0), (2, 1.9, 2.1), (1,) * 3, ("", "", "", "", "", "b")),
    ((2, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 1), ("", "", "", "", "", "neither")),
]  # fmt: skip


@pytest.mark.parametrize(("once", "other_once", "each", "other_each", "expected"), BREAK_EVENS)
def test_break_even_is_a_range(
    once: Ends, other_once: Ends, each: Ends, other_each: Ends, expected: tuple[Any, ...]
) -> None:
    timed = throughput.Throughput(1, "in process")
    choices = [
        costs.Choice(record(name), timed, Usd(*own), None, Usd(*per_1k))
        for name, own, per_1k in (("a", once, each), ("b", other_once, other_each))
    ]  # fmt: skip
    assert tuple(break_even.cheaper(*choices).values()) == expected


@pytest.mark.parametrize(
    ("demand_rps", "margin", "rps", "machines"),
    [
        (10, 0.3, 13, 1),  # 10 × 1.3 is above 13 in binary
        (10, 0.3, 12.9, 2),
        (0.001, 0, 1000, 1),
        (100, 0.3, 1, 130),
        (100, 1, 50, 4),
    ],
)
def test_machines(demand_rps: float, margin: float, rps: float, machines: int) -> None:
    assert prices.machines(demand_rps, margin, rps) == machines


# throughput ------------------------------------------------------------------------------------


def test_in_process_throughput_is_that_of_the_best_batch() -> None:
    found = throughput.of_timing(
        {
            "requests_per_s_batch_1": 50.0,
            "requests_per_s_batch_8": 200.0,
            "requests_per_s_batch_8_high": 250.0,
            "merged_requests_per_s_batch_8": 300.0,
            "tokens_per_s_batch_8": 9000.0,
        }
    )
    assert (found.requests_per_s, found.measured_by) == (300.0, "in process, merged")
    found = throughput.of_timing(
        {"requests_per_s_batch_1": 50.0, "requests_per_s_batch_8": 200.0,
         "requests_per_s_batch_8_low": 190.0, "requests_per_s_batch_8_high": 210.0}
    )  # fmt: skip
    assert (found.requests_per_s, found.measured_by, found.note) == (200.0, "in process", "")
    assert found.interval == (190.0, 210.0)


def test_no_batch_size_that_fits_is_a_note() -> None:
    found = throughput.of_timing({"latency_p50_s": 0.1, "memory_ended_at_batch_size": 64})
    assert (found.requests_per_s, found.note) == (0, "out of memory at batch size 64")


def test_load_test_comes_before_in_process(make_params: Callable[..., Params]) -> None:
    params, made = make_params(inference=TESTED), record("lora", rps=200)
    tested = {
        "sustained_rps": 40.0, "sustained_rps_low": 40.0, "sustained_rps_high": 50.0,
        "tokens_in_mean": 91.5, "tokens_out_mean": 3.0,
        "accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.01,
    }  # fmt: skip
    results.write(paths.load_test(run_of(made)), tested)
    (row,) = costs.build([made], params)["costs"]
    assert (row["measured_by"], row["usd_per_1k_requests"]) == ("load_test", 0.025)
    assert (row["usd_per_1k_requests_low"], row["usd_per_1k_requests_high"]) == (0.02, 0.025)
    # of what the server answered, not of what the evaluation scored
    assert (row["measured"], row["low"], row["high"]) == (0.0, 0.0, 0.01)
    assert (row["tokens_in_mean"], row["tokens_out_mean"]) == (91.5, 3.0)


@pytest.mark.parametrize(
    ("tested", "note"),
    [
        (
            {
                "objective_met": False, "objective": "latency_p99_s <= 2", "offered_rps": 0.5,
                "errors": 0, "timeouts": 0, "requests": 100, "latency_p99_s": 3.21,
            },
            "no rate meets latency_p99_s <= 2: at 0.5 requests/s p99 of the latency was 3.21 s",
        ),
        (OUT_OF_MEMORY, "out of memory at 23.4 GB"),
    ],
)  # fmt: skip
def test_load_test_without_a_rate_has_no_price(
    tested: Given, note: str, make_params: Callable[..., Params]
) -> None:
    made = record("lora", rps=200)  # what it reached in process is no promise of a server
    params = make_params(inference=TESTED | {"demand_rps": 1.0})
    results.write(paths.load_test(run_of(made)), tested)
    (row,) = costs.build([made], params)["costs"]
    assert (row["note"], row.get("usd_per_1k_requests")) == (note, None)
    (row,) = demand.build([made], params)["demand"]
    assert (row["note"], row.get("machines")) == (note, None)


# costs -----------------------------------------------------------------------------------------


def test_costs_add_labels_training_and_requests(make_params: Callable[..., Params]) -> None:
    params = make_params(cost={"usd_per_label": 0.1})
    rows = {row["method"]: row for row in costs.build(three(), params)["costs"]}
    columns = ("usd_to_train", "usd_for_labels", "usd_per_1k_requests", "usd_at_1k", "usd_at_10m")
    assert {method: [row[column] for column in columns] for method, row in rows.items()} == {
        "zero_shot": [0, 0, 0.01, 0.01, 100],
        "few_shot": [0, 0.2, 0.02, 0.22, 200.2],  # two solved examples
        "lora": [0.017, 3, 0.005, 3.022, 53.02],  # 24 rows to train on and 6 for validation
    }
    lora = rows["lora"]
    assert [lora[f"usd_at_{name}"] for name in ("10k", "100k", "1m")] == [3.067, 3.517, 8.017]
    assert (lora["metric"], lora["measured"], lora["low"], lora["high"]) == (
        "accuracy", 0.8, 0.75, 0.85,
    )  # fmt: skip
    assert lora["train_size"] == "1.0"


def test_labels_without_a_price_are_not_counted(make_params: Callable[..., Params]) -> None:
    rows = costs.build(three(), make_params())["costs"]
    assert len(rows) == 3
    assert not any("usd_for_labels" in row for row in rows)
    assert [row["usd_at_1k"] for row in rows] == [0.01, 0.02, 0.022]


def test_sizes_that_were_not_timed_are_left_out(make_params: Callable[..., Params]) -> None:
    records = [record("lora", train_size="0.5"), record("lora", rps=200)]
    rows = costs.build(records, make_params())["costs"]
    assert [row["train_size"] for row in rows] == ["1.0"]


def test_break_even_of_each_pair(make_params: Callable[..., Params]) -> None:
    params = make_params(cost={"usd_per_label": 0.1})
    elsewhere = record("zero_shot", rps=1, dataset="posts")
    rows = break_even.build([*three(), elsewhere], params)["break_even"]
    found = [tuple(row.values())[2:] for row in rows]
    assert found == [
        ("zero_shot", "few_shot", "in process", "", "", "", "", "", "zero_shot"),
        # 3.017 dollars against 0.005 dollars a thousand
        ("zero_shot", "lora", "in process", "zero_shot", "lora", 600_000, 600_000, 600_000, ""),
        ("few_shot", "lora", "in process", "few_shot", "lora", 190_000, 190_000, 190_000, ""),
    ]
    assert {(row["model"], row["dataset"]) for row in rows} == {("tiny", "reviews")}


def test_two_names_of_one_network_are_not_told_apart(make_params: Callable[..., Params]) -> None:
    params = make_params(hardware={"usd_per_hour": 3.6, "repeatability": 0.05})
    records = [
        record(name, rps=rate, training={"usd_to_train": usd})
        for name, rate, usd in (("lora", 200, 0.0170), ("full", 204, 0.0173))
    ]
    (row,) = break_even.build(records, params)["break_even"]
    assert (row["always_cheaper"], row["requests"]) == ("not distinguishable", "")


def test_a_machine_whose_speed_varies_tells_less_apart(make_params: Callable[..., Params]) -> None:
    params = make_params(
        hardware={"usd_per_hour": 3.6, "repeatability": 0.05},
        grid={"tuning": ["lora"], "train_sizes": [1.0], "seeds": [0, 1, 2, 3]},
    )
    assert repeatability.spread([1.0, 2.0]) == 0
    assert repeatability.spread([3.0] * 8) == 0
    speeds = (100.0, 140.0, 90.0, 120.0)  # 0.196 apart in logarithms, 3.18 / 1.96 times that
    for seed, speed in enumerate(speeds):
        run = {"model_flops_per_s": 0.3 * speed, "model_flops_utilization": 0.3}
        results.write(paths.train(Run("tiny", "reviews", "lora", 1.0, seed)), run)
    noisy = repeatability.measured(params)
    assert noisy.hardware.repeatability == pytest.approx(0.196 * 3.18 / 1.96, rel=0.02)
    records = [record("zero_shot", rps=100), record("few_shot", rps=150)]
    (told,), (untold,) = (break_even.build(records, each)["break_even"] for each in (params, noisy))
    assert told["always_cheaper"] == "few_shot"
    assert untold["always_cheaper"] == "not distinguishable"
    assert {row["repeatability"] for row in costs.build(records, noisy)["costs"]} == {
        noisy.hardware.repeatability
    }
    for seed in range(len(speeds)):
        failed = {"out_of_memory": True, "rows": 24}
        results.write(paths.train(Run("tiny", "reviews", "lora", 1.0, seed)), failed)
    assert repeatability.measured(params) is params


def test_both_prices_of_a_pair_are_measured_alike(make_params: Callable[..., Params]) -> None:
    params, records = make_params(inference=TESTED), three()
    results.write(paths.load_test(run_of(records[2])), {"sustained_rps": 1.0})
    rows = break_even.build(records, params)["break_even"]
    assert {row["measured_by"] for row in rows} == {"in process"}
    lines = costs.plot(records, params)["costs"]
    assert {row["usd"] for row in lines if row["method"] == "lora" and row["requests"] == 1000} == {
        0.022
    }
    both = make_params(inference={"load_test": {"tuning": ["lora"], "prompting": ["zero_shot"]}})
    results.write(paths.load_test(run_of(records[0])), {"sustained_rps": 2.0})
    rows = break_even.build([records[0], records[2]], both)["break_even"]
    assert [row["measured_by"] for row in rows] == ["load_test"]


def test_failed_run_has_a_note_and_no_price(make_params: Callable[..., Params]) -> None:
    params = make_params(inference={"demand_rps": 10.0})
    answered = record("lora")
    results.write(paths.timing(run_of(answered)), OUT_OF_MEMORY)
    spent = {"usd_to_train": 0.004}
    untrained = record("full", quality={}, training=spent, note="diverged at step 3")
    results.write(
        paths.timing(run_of(untrained)), {"diverged": True, "step": 3, "learning_rate": 1}
    )
    records = [record("zero_shot", rps=100), answered, untrained]
    built = costs.build(records, params) | demand.build(records, params)
    assert break_even.build(records, params) == {}
    for name in ("costs", "demand"):
        assert [row.get("note") for row in built[name]] == [
            None, "out of memory at 23.4 GB", "diverged at step 3",
        ]  # fmt: skip
    assert built["costs"][2]["usd_to_train"] == 0.004  # what it cost until it ended
    assert {row["method"] for row in costs.plot(records, params)["costs"]} == {"zero_shot"}
    texts = [
        (cell.text, cell.interval) for table in shown(built) for row in table.rows for cell in row
    ]
    assert texts.count(("out of memory at 23.4 GB", "")) == 2
    assert texts.count(("diverged at step 3", "")) == 2
    assert ("80.0", "75.0–85.0") in texts


def test_plot_holds_the_sums(make_params: Callable[..., Params]) -> None:
    rows = costs.plot(three(), make_params())["costs"]
    lora = {row["requests"]: row["usd"] for row in rows if row["method"] == "lora"}
    assert (min(lora), max(lora), len(lora)) == (1000, 10_000_000, 21)
    assert (lora[1000], lora[2000], lora[10_000_000]) == (0.022, 0.027, 50.02)
    assert {row["panel"] for row in rows} == {"tiny, reviews"}
    assert min(row["usd"] for row in rows) > 0  # a logarithmic axis has no 0


# demand ----------------------------------------------------------------------------------------


def test_demand_in_whole_machines(make_params: Callable[..., Params]) -> None:
    params = make_params(inference={"demand_rps": 150.0})
    rows = demand.build(three(), params)["demand"]
    columns = ("method", "requests_per_s", "measured_by", "margin", "machines", "usd_per_month")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("zero_shot", 100, "in process", 0.3, 2, 5256),  # 195 requests a second
        ("few_shot", 50, "in process", 0.3, 4, 10512),
        ("lora", 200, "in process", 0.3, 1, 2628),
    ]
    params = make_params(inference={"demand_rps": 150.0, "demand_margin": 0.5})
    assert [row["machines"] for row in demand.build(three(), params)["demand"]] == [3, 5, 2]


def test_no_demand_makes_no_table(make_params: Callable[..., Params]) -> None:
    assert demand.build(three(), make_params()) == {}


def test_machine_without_a_price_leaves_machines_only(make_params: Callable[..., Params]) -> None:
    params = make_params(
        hardware={"name": "ours", "usd_per_hour": 0.0},
        cost={"usd_per_label": 0.1},
        inference={"demand_rps": 150.0},
    )
    records = three()
    rows = costs.build(records, params)["costs"]
    assert [row["usd_for_labels"] for row in rows] == [0, 0.2, 3]
    assert not any("usd_per_1k_requests" in row or "usd_to_train" in row for row in rows)
    assert break_even.build(records, params) == {}
    assert costs.plot(records, params) == {"costs": []}
    assert costs.build(records, params.model_copy(update={"cost": None})) == {}
    rows = demand.build(records, params)["demand"]
    assert [row["machines"] for row in rows] == [2, 4, 1]
    assert not any("usd" in column for row in rows for column in row)
