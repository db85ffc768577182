"""Nested, stratified, seeded choices of rows: the same on every machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from tunebench.errors import ParameterError
from tunebench.tables import TextRow

# the test sample and the solved examples are the same in every run: seeds vary training alone
FIXED_SEED = 0


def stratified_order(labels: Sequence[str | None], *, seed: int) -> list[int]:
    """Indices of all rows in an order whose every prefix is stratified by label.

    Prefixes nest by construction, so a smaller training set is a part of every larger one of the
    same seed. Each label's rows are shuffled, then spread evenly over the order; a prefix of n
    rows holds within one row of its share of each label.
    """
    random = Random(seed)
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label or ""].append(index)
    placed = []
    for label in sorted(by_label):
        indices = by_label[label]
        random.shuffle(indices)
        offset = random.random()
        placed += [
            ((rank + offset) / len(indices), label, index) for rank, index in enumerate(indices)
        ]
    return [index for _, _, index in sorted(placed)]


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


def hold_out(labels: Sequence[str | None], rows: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Indices (kept, held out), both in the rows' own order; the held-out ones stratified."""
    held = set(stratified_order(labels, seed=seed)[:rows])
    kept = [index for index in range(len(labels)) if index not in held]
    return kept, sorted(held)


def first_rows(
    rows: Sequence[TextRow], count: int, *, stratify: bool, seed: int = FIXED_SEED
) -> list[TextRow]:
    """The first `count` rows of the stratified order."""
    return [rows[index] for index in stratified_order(_labels(rows, stratify), seed=seed)[:count]]


def subset(
    train: Sequence[TextRow],
    validation: Sequence[TextRow] | None,
    *,
    train_size: int | float,
    validation_rows: int,
    stratify: bool,
    seed: int,
) -> dict[str, list[TextRow]]:
    """Training rows of one size, and validation rows that no size of this seed trains on.

    Validation rows come from the source's own split where it has one, else from the training rows.
    """
    if validation is None and validation_rows:
        kept, held = hold_out(_labels(train, stratify), validation_rows, seed=seed)
        validation = [train[index] for index in held]
        train = [train[index] for index in kept]
    chosen = {
        "train": first_rows(train, count_rows(train_size, len(train)), stratify=stratify, seed=seed)
    }
    if validation_rows and validation:
        chosen["validation"] = first_rows(validation, validation_rows, stratify=stratify, seed=seed)
    return chosen


def test_sample(rows: Sequence[TextRow], wanted: int | None, *, stratify: bool) -> list[TextRow]:
    """`wanted` test rows (all where None), stratified, in the source's order."""
    if wanted is not None and wanted > len(rows):
        raise ParameterError(
            [
                f"params.yaml: test_rows: {wanted} is more than the {len(rows)} test rows there"
                " are; use at most that, or leave it out for all"
            ]
        )
    order = stratified_order(_labels(rows, stratify), seed=FIXED_SEED)
    return [rows[index] for index in sorted(order[:wanted])]


def _labels(rows: Sequence[TextRow], stratify: bool) -> list[str | None]:
    return [row["target"] if stratify else None for row in rows]
