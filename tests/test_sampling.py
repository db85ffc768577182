"""Subsets are nested, stratified, seeded and floored; nothing held out is trained on."""

import itertools
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest

from tunebench.data import sampling, tables
from tunebench.data.tables import TextRow
from tunebench.errors import ParameterError

LABELS = [("negative", "neutral", "positive")[index * index % 7 % 3] for index in range(1000)]


def subset(
    size: float, validation_rows: int = 0, *, seed: int, given: list[str] | None = None
) -> dict[str, list[int]]:
    chosen = sampling.subset(
        LABELS, given, train_size=size, validation_rows=validation_rows, seed=seed
    )
    assert chosen["train"][0] == "train"
    if validation_rows:
        assert chosen["validation"][0] == ("train" if given is None else "validation")
    return {split: indices for split, (_, indices) in chosen.items()}


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


def by_sorting_tuples(labels: list[str], seed: int) -> list[int]:
    """The order as it was first written; subsets that were published rest on it."""
    random = Random(seed)
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label].append(index)
    placed = []
    for label in sorted(by_label):
        indices = by_label[label]
        random.shuffle(indices)
        offset = random.random()
        placed += [((rank + offset) / len(indices), label, i) for rank, i in enumerate(indices)]
    return [index for _, _, index in sorted(placed)]


def test_order_is_the_one_of_the_first_version() -> None:
    assert sampling.stratified_order(LABELS, seed=5)[:6] == [889, 537, 507, 93, 355, 374]
    assert sampling.stratified_order([None] * 1000, seed=5)[:6] == [910, 516, 275, 950, 612, 970]
    random = Random(0)
    for seed in range(60):
        kinds, size = random.randrange(1, 30), random.randrange(1, 300)
        labels = [f"label {random.randrange(kinds)}" for _ in range(size)]
        assert sampling.stratified_order(labels, seed=seed) == by_sorting_tuples(labels, seed)


def test_smaller_subsets_are_parts_of_larger_ones() -> None:
    subsets = [subset(size, 100, seed=3)["train"] for size in (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)]
    assert [len(chosen) for chosen in subsets] == [22, 45, 90, 225, 450, 900]
    for smaller, larger in itertools.pairwise(subsets):
        assert larger[: len(smaller)] == smaller
        assert len(set(larger)) == len(larger)


def test_subset_keeps_a_row_of_each_label_where_there_is_room() -> None:
    random = Random(0)
    lost = 0
    for seed in range(40):
        kinds = random.randrange(1, 12)
        labels = [f"label {min(random.randrange(kinds) ** 2, kinds)}" for _ in range(60)]
        labels += [f"rare {index}" for index in range(random.randrange(5))]
        order = sampling.stratified_order(labels, seed=seed)
        smaller: set[int] = set()
        for count in range(1, len(labels) + 1):
            chosen = sampling.with_every_label(order, labels, count)
            assert len(chosen) == len(set(chosen)) == count
            assert smaller <= set(chosen), (seed, count)
            smaller = set(chosen)
            assert len({labels[index] for index in chosen}) >= min(count, len(set(labels)))
            if {labels[index] for index in order[:count]} == set(labels):
                assert chosen == order[:count]  # as it was before
            else:
                lost += 1
    assert lost > 100


def test_labels_that_were_added_or_have_no_row_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = ["common"] * 95 + ["odd", "rare", "rare", "rare", "rare"]

    def told(size: float) -> tuple[Counter[str], str]:
        chosen = sampling.subset(labels, None, train_size=size, validation_rows=0, seed=0)
        return Counter(labels[index] for index in chosen["train"][1]), capsys.readouterr().err

    assert told(0.1) == (
        Counter(common=8, odd=1, rare=1),
        "train size 0.1 (10 rows), seed 0: took one row of each label that would have none:"
        " 'rare'\n",
    )
    assert told(1.0) == (Counter(labels), "")
    counts, message = told(2)
    assert len(counts) == 2
    assert "train size 2 (2 rows), seed 0: fewer rows than labels; no row is of '" in message
    many = [str(index) for index in range(20)]
    sampling.subset(many, None, train_size=3, validation_rows=0, seed=0)
    assert "fewer rows than labels; no row is of" in (message := capsys.readouterr().err)
    assert message.endswith(" and 12 more\n")


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
    found = [subset(size, 50, seed=seed) for size in (0.1, 1.0)]
    assert found[0]["validation"] == found[1]["validation"]
    assert len(found[1]["train"]) == 950
    assert not set(found[0]["validation"]) & set(found[1]["train"])


def test_given_validation_rows_leave_training_whole() -> None:
    found = subset(1.0, 30, seed=0, given=LABELS[:200])
    assert len(found["train"]) == 1000
    assert len(found["validation"]) == 30
    assert max(found["validation"]) < 200


def test_no_validation_unless_asked_for() -> None:
    assert list(subset(10, seed=0, given=LABELS)) == ["train"]


@pytest.mark.parametrize(
    ("labels", "given", "rows", "message"),
    [
        ([*"aabb"], None, 4, "4 leaves none of the 4 training rows; use fewer"),
        ([*"aabb"], None, 9, "9 leaves none of the 4 training rows; use fewer"),
        (
            [*"aaab"],
            None,
            3,
            "3 takes every training row with the label 'a', of which there are 3; use fewer, or"
            " add rows with that label",
        ),
        (
            [*"aabb"],
            [*"ab"],
            3,
            "3 is more than the 2 validation rows there are; use at most that, or leave it out",
        ),
    ],
)
def test_validation_rows_that_there_are_not(
    labels: list[str], given: list[str] | None, rows: int, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        sampling.subset(labels, given, train_size=1.0, validation_rows=rows, seed=0)
    assert caught.value.faults == [f"params.yaml: validation_rows: {message}"]


def test_test_sample_stands_in_source_order() -> None:
    sample = sampling.test_sample(LABELS, 90)
    assert sample == sorted(sample)
    assert len(set(sample)) == 90
    assert sample == sampling.test_sample(LABELS, 90)
    assert sampling.test_sample(LABELS, None) == [*range(1000)]


def test_test_sample_larger_than_the_test_set() -> None:
    with pytest.raises(ParameterError) as caught:
        sampling.test_sample(LABELS, 1001)
    assert caught.value.faults == [
        "params.yaml: test_rows: 1001 is more than the 1000 test rows there are;"
        " use at most that, or leave it out for all"
    ]


def test_labels_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    tables.write(path, [TextRow(id=str(n), text="", target=LABELS[n]) for n in range(9)])
    assert sampling.labels_of(path, stratify=True) == LABELS[:9]
    assert sampling.labels_of(path, stratify=False) == [None] * 9
