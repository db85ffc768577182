"""Nested, stratified, seeded samples of rows: the same on every machine."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from random import Random

from tunebench import paths
from tunebench.config.data import Dataset
from tunebench.data import tables
from tunebench.errors import ParameterError
from tunebench.paths import Run

log = logging.getLogger(__name__)

Labels = Sequence[str | None]

# the test sample is the same in every run: seeds vary training rows and solved examples
FIXED_SEED = 0


def stratified_order(labels: Labels, *, seed: int) -> list[int]:
    """Indices of all rows in an order whose every prefix is stratified by label.

    Prefixes are nested, so a smaller training set is a subset of every larger one of the same seed.
    Each label's rows are shuffled, then spread evenly over the order: in a prefix of n rows, each
    label's count is within one row of its share.
    """
    import numpy as np

    random = Random(seed)
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label or ""].append(index)
    # arrays, since sorting tuples would take 150 bytes per row
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
    """How many rows a train size is: an int is a number, a float a fraction, rounded down.

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
    """Indices (remaining, held out), both in the rows' own order; the held-out are stratified."""
    held_out = set(stratified_order(labels, seed=seed)[:rows])
    remaining = [index for index in range(len(labels)) if index not in held_out]
    return remaining, sorted(held_out)


def first_rows(labels: Labels, count: int, *, seed: int = FIXED_SEED) -> list[int]:
    """The first `count` indices of the stratified order."""
    return stratified_order(labels, seed=seed)[:count]


def with_every_label(order: Sequence[int], labels: Labels, count: int) -> list[int]:
    """`count` indices of `order`, a row of each label among them where there is room.

    They are the longest prefix that leaves room for the first row of each label that it lacks, and
    those rows; if there are more labels than rows, the first row of as many labels. So smaller
    choices are part of larger ones, and a prefix that lacks no label is the choice.
    """
    first_of_label: dict[str | None, int] = {}
    for index in order:
        first_of_label.setdefault(labels[index], index)
    chosen = set(list(first_of_label.values())[:count])
    for index in order:
        if len(chosen) == count:
            break
        chosen.add(index)
    return [index for index in order if index in chosen]


def subset(
    train: Labels,
    validation: Labels | None,
    *,
    train_size: int | float,
    validation_rows: int,
    seed: int,
) -> dict[str, tuple[str, list[int]]]:
    """Training rows of one size, and validation rows that are in no training subset of this seed.

    Validation rows come from the source's own split if it has one, else from the training rows.

    Args:
        train: the labels of the training rows.
        validation: the labels of the validation rows, None if the source has none.

    Returns:
        For each split of the subset, the split that its rows come from and their indices there.

    Raises:
        ParameterError: if there are not that many rows, or none is left to train on.
    """
    training: Sequence[int] = range(len(train))
    validation_part: dict[str, tuple[str, list[int]]] = {}
    if validation_rows and validation is not None:
        _check_count(validation_rows, len(validation), "validation")
        held_out = first_rows(validation, validation_rows, seed=seed)
        validation_part["validation"] = ("validation", held_out)
    elif validation_rows:
        training, held_out = hold_out(train, validation_rows, seed=seed)
        _check_remaining(train, training, validation_rows)
        in_order = first_rows([train[index] for index in held_out], validation_rows, seed=seed)
        validation_part["validation"] = ("train", [held_out[index] for index in in_order])
    rows = count_rows(train_size, len(training))
    available = [train[index] for index in training]
    order = stratified_order(available, seed=seed)
    chosen = with_every_label(order, available, rows)
    prefix_labels, chosen_labels = (
        {str(available[index]) for index in indices} for indices in (order[:rows], chosen)
    )
    place = f"train size {train_size} ({rows} rows), seed {seed}"
    if added := chosen_labels - prefix_labels:
        log.warning(
            "%s: took one row of each label that would have none: %s", place, _listed(added)
        )
    if missing := set(map(str, available)) - chosen_labels:
        log.warning("%s: fewer rows than labels; no row is of %s", place, _listed(missing))
    return {"train": ("train", [training[index] for index in chosen])} | validation_part


def subset_of_run(dataset: Dataset, run: Run) -> dict[str, tuple[str, list[int]]]:
    """The `subset` of a run's train size and seed, of the data set's splits on disk.

    Raises:
        ParameterError: as `subset`.
    """
    train_size, seed = run.sized
    train, validation = (paths.split(run.dataset, split) for split in ("train", "validation"))
    return subset(
        labels_of(train, stratify=dataset.labelled),
        labels_of(validation, stratify=dataset.labelled) if validation.exists() else None,
        train_size=train_size,
        validation_rows=dataset.validation_rows,
        seed=seed,
    )


def _listed(labels: set[str]) -> str:
    """The labels, five of them at most."""
    shown = [repr(label) for label in sorted(labels)][:5]
    rest = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _check_remaining(train: Labels, remaining: Sequence[int], validation_rows: int) -> None:
    fault = f"params.yaml: validation_rows: {validation_rows}"
    if not remaining:
        raise ParameterError([f"{fault} leaves none of the {len(train)} training rows; use fewer"])
    lost = sorted(set(map(str, train)) - {str(train[index]) for index in remaining})
    if lost:
        rows = sum(str(label) == lost[0] for label in train)
        raise ParameterError(
            [
                f"{fault} takes every training row with the label {lost[0]!r}, of which there"
                f" are {rows}; use fewer, or add rows with that label"
            ]
        )


def test_sample(labels: Labels, count: int | None) -> list[int]:
    """Indices of `count` test rows (all if None), stratified, in the source's order."""
    if count is None:
        return list(range(len(labels)))
    _check_count(count, len(labels), "test")
    return sorted(first_rows(labels, count))


def test_sample_of(dataset: Dataset, name: str) -> list[int]:
    """The `test_sample` of a data set's test rows on disk, which every method answers."""
    labels = labels_of(paths.split(name, "test"), stratify=dataset.labelled)
    return test_sample(labels, dataset.test_rows)


def _check_count(count: int, available: int, split: str) -> None:
    if count > available:
        raise ParameterError(
            [
                f"params.yaml: {split}_rows: {count} is more than the {available} {split} rows"
                " there are; use at most that, or leave it out"
                + (" for all" if split == "test" else "")
            ]
        )


def labels_of(path: Path, *, stratify: bool) -> Labels:
    """The label of each row of a split; None for each if `stratify` is false."""
    return tables.column(path, "target") if stratify else [None] * tables.count(path)
