"""Nested, stratified, seeded choices of rows: the same on every machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from random import Random

from tunebench.data import tables
from tunebench.errors import ParameterError

Labels = Sequence[str | None]

# the test sample and the solved examples are the same in every run: seeds vary training alone
FIXED_SEED = 0


def stratified_order(labels: Labels, *, seed: int) -> list[int]:
    """Indices of all rows in an order whose every prefix is stratified by label.

    Prefixes nest by construction, so a smaller training set is a part of every larger one of the
    same seed. Each label's rows are shuffled, then spread evenly over the order; a prefix of n
    rows holds within one row of its share of each label.
    """
    import numpy as np

    random = Random(seed)
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label or ""].append(index)
    # arrays of numbers: tuples to sort would take 150 bytes a row
    places = np.empty(len(labels))
    strata = np.empty(len(labels), np.int32)
    for stratum, label in enumerate(sorted(by_label)):
        indices = by_label.pop(label)
        random.shuffle(indices)
        places[indices] = (np.arange(len(indices)) + random.random()) / len(indices)
        strata[indices] = stratum
    order: list[int] = np.lexsort((strata, places)).tolist()
    return order


def count_rows(train_size: int | float, available: int) -> int:
    """Rows that a train size stands for: an int is a number, a float a fraction, floored.

    >>> count_rows(0.025, 10_664)
    266

    Raises:
        ParameterError: if there are not that many rows, or the fraction leaves none.
    """
    # Decimal, since 0.29 * 100 is 28.999… in binary
    rows = (
        int(Decimal(str(train_size)) * available) if isinstance(train_size, float) else train_size
    )
    if rows > available:
        raise ParameterError(
            [
                f"params.yaml: grid.train_sizes: {train_size} is more than the {available} training"
                " rows there are; use at most that, or 1.0 for all"
            ]
        )
    if rows < 1:
        raise ParameterError(
            [f"params.yaml: grid.train_sizes: {train_size} of {available} rows is no row at all"]
        )
    return rows


def hold_out(labels: Labels, rows: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Indices (kept, held out), both in the rows' own order; the held-out ones stratified."""
    held = set(stratified_order(labels, seed=seed)[:rows])
    kept = [index for index in range(len(labels)) if index not in held]
    return kept, sorted(held)


def first_rows(labels: Labels, count: int, *, seed: int = FIXED_SEED) -> list[int]:
    """The first `count` indices of the stratified order."""
    return stratified_order(labels, seed=seed)[:count]


def subset(
    train: Labels,
    validation: Labels | None,
    *,
    train_size: int | float,
    validation_rows: int,
    seed: int,
) -> dict[str, tuple[str, list[int]]]:
    """Training rows of one size, and validation rows that no size of this seed trains on.

    Validation rows come from the source's own split where it has one, else from the training rows.

    Args:
        train: the labels of the training rows, as of `validation`, None where there are none.

    Returns:
        For each split of the subset, the split that its rows stand in and their indices there.

    Raises:
        ParameterError: if there are not that many rows, or none is left to train on.
    """
    kept: Sequence[int] = range(len(train))
    chosen: dict[str, tuple[str, list[int]]] = {}
    if validation_rows and validation is not None:
        _check_count(validation_rows, len(validation), "validation")
        held = first_rows(validation, validation_rows, seed=seed)
        chosen["validation"] = ("validation", held)
    elif validation_rows:
        kept, held = hold_out(train, validation_rows, seed=seed)
        _check_kept(train, kept, validation_rows)
        in_order = first_rows([train[index] for index in held], validation_rows, seed=seed)
        chosen["validation"] = ("train", [held[index] for index in in_order])
    rows = count_rows(train_size, len(kept))
    first = first_rows([train[index] for index in kept], rows, seed=seed)
    return {"train": ("train", [kept[index] for index in first])} | chosen


def _check_kept(train: Labels, kept: Sequence[int], validation_rows: int) -> None:
    fault = f"params.yaml: validation_rows: {validation_rows}"
    if not kept:
        raise ParameterError([f"{fault} leaves none of the {len(train)} training rows; use fewer"])
    lost = sorted(set(map(str, train)) - {str(train[index]) for index in kept})
    if lost:
        rows = sum(str(label) == lost[0] for label in train)
        raise ParameterError(
            [
                f"{fault} takes every training row with the label {lost[0]!r}, of which there"
                f" are {rows}; use fewer, or add rows with that label"
            ]
        )


def test_sample(labels: Labels, wanted: int | None) -> list[int]:
    """Indices of `wanted` test rows (all where None), stratified, in the source's order."""
    if wanted is None:
        return list(range(len(labels)))
    _check_count(wanted, len(labels), "test")
    return sorted(first_rows(labels, wanted))


def _check_count(wanted: int, available: int, split: str) -> None:
    if wanted > available:
        raise ParameterError(
            [
                f"params.yaml: {split}_rows: {wanted} is more than the {available} {split} rows"
                " there are; use at most that, or leave it out"
                + (" for all" if split == "test" else "")
            ]
        )


def labels_of(path: Path, *, stratify: bool) -> Labels:
    """The label of each row of a split; None for each where answers are texts, not labels."""
    return tables.column(path, "target") if stratify else [None] * tables.count(path)
