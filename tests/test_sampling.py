"""Subsets are nested, stratified, seeded and floored; nothing held out is trained on."""

import itertools
from collections import Counter

import pytest

from tunebench import sampling
from tunebench.errors import ParameterError
from tunebench.tables import TextRow

LABELS = [("negative", "neutral", "positive")[index * index % 7 % 3] for index in range(1000)]


def rows(labels: list[str]) -> list[TextRow]:
    return [TextRow(id=f"train-{i}", text=f"text {i}", target=t) for i, t in enumerate(labels)]


def ids(chosen: list[TextRow]) -> list[str]:
    return [row["id"] for row in chosen]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0.025, 266), (0.05, 533), (0.1, 1066), (0.25, 2666), (0.5, 5332), (1.0, 10664), (50, 50)],
)
def test_fractions_are_floored(size: float, expected: int) -> None:
    assert sampling.count_rows(size, 10_664) == expected


def test_fraction_is_taken_as_it_is_written() -> None:
    assert [sampling.count_rows(hundredth / 100, 100) for hundredth in range(1, 101)] == [
        *range(1, 101)
    ]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (101, "101 is more than the 100 training rows there are; use at most that, or 1.0 for all"),
        (0.001, "0.001 of 100 rows is no row at all"),
        (0, "0 of 100 rows is no row at all"),
        (-5, "-5 of 100 rows is no row at all"),
        (-0.5, "-0.5 of 100 rows is no row at all"),
    ],
)
def test_sizes_that_there_are_not(size: float, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        sampling.count_rows(size, 100)
    assert caught.value.faults == [f"params.yaml: grid.train_sizes: {message}"]


def test_same_rows_on_every_machine() -> None:
    labels = [*"aabbbaabbb"]
    assert sampling.stratified_order(labels, seed=0) == [2, 5, 4, 0, 3, 9, 1, 7, 6, 8]
    assert sampling.stratified_order([None] * 6, seed=1) == [2, 3, 5, 0, 4, 1]


def test_smaller_subsets_are_parts_of_larger_ones() -> None:
    subsets = [
        ids(
            sampling.subset(
                rows(LABELS), None, train_size=size, validation_rows=100, stratify=True, seed=3
            )["train"]
        )
        for size in (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
    ]
    assert [len(subset) for subset in subsets] == [22, 45, 90, 225, 450, 900]
    for smaller, larger in itertools.pairwise(subsets):
        assert larger[: len(smaller)] == smaller
        assert len(set(larger)) == len(larger)


def test_every_prefix_is_stratified_within_one_row() -> None:
    share = {label: count / len(LABELS) for label, count in Counter(LABELS).items()}
    order = sampling.stratified_order(LABELS, seed=5)
    assert sorted(order) == list(range(1000))
    seen: Counter[str] = Counter()
    for size, index in enumerate(order, start=1):
        seen[LABELS[index]] += 1
        for label, part in share.items():
            assert abs(seen[label] - part * size) <= 1.5, (label, size)


def test_a_seed_gives_its_own_rows_every_time() -> None:
    orders = [sampling.stratified_order(LABELS, seed=seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_hold_out_is_stratified_and_apart() -> None:
    kept, held = sampling.hold_out(LABELS, 100, seed=0)
    assert len(held) == 100
    assert sorted(kept + held) == list(range(1000))
    assert kept == sorted(kept)
    assert held == sorted(held)
    share = Counter(LABELS)
    for label, count in Counter(LABELS[index] for index in held).items():
        assert abs(count - share[label] / 10) <= 1.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_validation_rows_are_in_no_subset(seed: int) -> None:
    found = [
        sampling.subset(
            rows(LABELS), None, train_size=size, validation_rows=50, stratify=True, seed=seed
        )
        for size in (0.1, 1.0)
    ]
    assert ids(found[0]["validation"]) == ids(found[1]["validation"])
    assert len(found[1]["train"]) == 950
    assert not set(ids(found[0]["validation"])) & set(ids(found[1]["train"]))


def test_given_validation_rows_leave_training_whole() -> None:
    given = [TextRow(id=f"validation-{i}", text="", target=t) for i, t in enumerate(LABELS)]
    found = sampling.subset(
        rows(LABELS), given, train_size=1.0, validation_rows=30, stratify=True, seed=0
    )
    assert len(found["train"]) == 1000
    assert len(found["validation"]) == 30
    assert all(row["id"].startswith("validation-") for row in found["validation"])


def test_no_validation_unless_asked_for() -> None:
    found = sampling.subset(
        rows(LABELS), rows(LABELS), train_size=10, validation_rows=0, stratify=True, seed=0
    )
    assert list(found) == ["train"]


def test_test_sample_stands_in_source_order() -> None:
    sample = sampling.test_sample(rows(LABELS), 90, stratify=True)
    numbers = [int(row["id"].split("-")[1]) for row in sample]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 90
    assert sample == sampling.test_sample(rows(LABELS), 90, stratify=True)
    assert sampling.test_sample(rows(LABELS), None, stratify=True) == rows(LABELS)


def test_test_sample_larger_than_the_test_set() -> None:
    with pytest.raises(ParameterError) as caught:
        sampling.test_sample(rows(LABELS), 1001, stratify=True)
    assert caught.value.faults == [
        "params.yaml: test_rows: 1001 is more than the 1000 test rows there are;"
        " use at most that, or leave it out for all"
    ]
