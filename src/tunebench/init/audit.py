"""The rows as `download` will read them: labels, empty cells, duplicates and splits.

The same readers, cleaning and sampling are used, so that the counts are those of the data card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunebench.config.data import Dataset
from tunebench.data import duplicates, sampling
from tunebench.data.cleaning import Cleaner, SplitIndex
from tunebench.data.sources import files
from tunebench.data.sources.rows import OpenedSource
from tunebench.data.sources.spelling import look_alikes
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError
from tunebench.init import survey
from tunebench.init.columns import NO_LABEL
from tunebench.progress import over

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LISTED = 3


@dataclass(frozen=True)
class Audit:
    """What the rows are, with the labels as they will be named.

    `rows` has the rows of each split, the test rows split off where the source has none;
    `partial` names the splits of which only the first rows were read. `labels` counts training and
    test rows, `dropped` rows with an empty cell, by split and reason. `merged` has each group of
    labels that become one, `label_names` the resulting name of each label. `sample` has training
    rows.
    """

    rows: Mapping[str, int]
    split_off: bool
    partial: Sequence[str]
    labels: Counter[str]
    label_names: Mapping[str, str]
    merged: Sequence[Sequence[str]]
    spellings: Mapping[str, Mapping[str, int]]
    dropped: Mapping[str, int]
    train_duplicates: int
    train_contradictions: int
    test_rows_in_train: int
    quotes_as_text: Sequence[str]
    sample: Sequence[TextRow]


@dataclass(frozen=True)
class _Split:
    """The label and the text hash of each row."""

    labels: NDArray[np.int32]
    inputs: NDArray[np.uint64]

    def __getitem__(self, mask: NDArray[np.bool_]) -> _Split:
        return _Split(self.labels[mask], self.inputs[mask])

    def __len__(self) -> int:
        return len(self.labels)


def audit(dataset: Dataset) -> Audit:
    """Read all splits of a data set from files, whose `drop_empty` is set.

    Raises:
        SourceError: for what would stop `download`: rows that cannot be read, one label, a label
            with too few rows; or for too few rows, or labels that are as many as the texts.
    """
    opened = files.open_rows(dataset)
    cleaner = Cleaner(dataset, opened.label_names)
    splits, partial, sample = _read(cleaner, opened)
    names = list(cleaner.labels)
    groups = look_alikes(names) if _merges(cleaner) else []
    label_names = _merged(_counts(splits, names), groups)
    if label_names:
        splits, names = _renamed(splits, names, label_names)
        sample = [row | {"target": label_names[row["target"]]} for row in sample]
    _check_size(splits, names, dataset)
    split_off = "test" not in splits
    if split_off:
        splits = {**splits, **_split_off(splits["train"], names, dataset)}
    shared = duplicates.occurring_in(splits["test"].inputs, splits["train"].inputs)
    whole, splits = splits["train"], _without_test_rows(splits)
    if dataset.labelled:
        _check_labels(splits, names, dataset, split_off=split_off)
    return Audit(
        rows={split: len(part) for split, part in splits.items()},
        split_off=split_off,
        partial=partial,
        labels=+_counts(splits, names),
        label_names=label_names,
        merged=groups,
        spellings=cleaner.spellings_by_label(),
        dropped=dict(sorted(cleaner.dropped.items())),
        train_duplicates=duplicates.repeated(whole.inputs),
        train_contradictions=duplicates.contradictory(whole.inputs, whole.labels),
        test_rows_in_train=int(shared.sum()),
        quotes_as_text=opened.quotes_as_text,
        sample=sample,
    )


def _read(
    cleaner: Cleaner, opened: OpenedSource
) -> tuple[dict[str, _Split], list[str], list[TextRow]]:
    """Each split's rows, the splits of which only the first were read, and some training rows."""
    import numpy as np

    splits: dict[str, _Split] = {}
    partial: list[str] = []
    sample: list[TextRow] = []
    for split, rows in opened.splits.items():
        index = SplitIndex()
        iterator = iter(over(rows, unit="row"))
        cleaned = cleaner.rows(split, survey.limited(iterator), index)
        _, drawn = survey.reservoir(cleaned, survey.SAMPLED_ROWS)
        sample = drawn if split == "train" else sample
        partial += [split] if next(iterator, None) is not None else []
        splits[split] = _Split(
            np.frombuffer(index.labels, np.int32), np.frombuffer(index.inputs, np.uint64)
        )
    return splits, partial, sample


def _merges(cleaner: Cleaner) -> bool:
    """Whether labels that read alike would stop `download`."""
    return cleaner.dataset.labelled and not cleaner.names and not cleaner.as_written


def _counts(splits: Mapping[str, _Split], names: Sequence[str]) -> Counter[str]:
    """The rows of each label, in all splits."""
    import numpy as np

    counts: Counter[str] = Counter()
    for part in splits.values():
        by_code = np.bincount(part.labels, minlength=len(names)).tolist()
        counts.update(dict(zip(names, by_code, strict=False)))  # summaries have the code 0
    return counts


def _merged(counts: Counter[str], groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """Each label → its name: of labels that read alike, the one with the most rows."""
    if not groups:
        return {}
    best = {label: max(group, key=counts.__getitem__) for group in groups for label in group}
    return {label: best.get(label, label) for label in sorted(counts)}


def _renamed(
    splits: Mapping[str, _Split], names: Sequence[str], label_names: Mapping[str, str]
) -> tuple[dict[str, _Split], list[str]]:
    import numpy as np

    merged = list(dict.fromkeys(label_names[name] for name in names))
    codes = np.array([merged.index(label_names[name]) for name in names], np.int32)
    renamed = {split: replace(part, labels=codes[part.labels]) for split, part in splits.items()}
    return renamed, merged


def _check_size(splits: Mapping[str, _Split], names: Sequence[str], dataset: Dataset) -> None:
    rows = sum(map(len, splits.values()))
    if rows < survey.FEWEST_ROWS:
        raise survey.too_few(_named(dataset), rows)
    if len(names) == 1 and dataset.labelled:
        raise SourceError(
            f"column {dataset.target!r} has one label, {names[0]!r}, in the rows with a text; to"
            f" tell anything apart, {NO_LABEL}"
        )
    if 2 * len(names) > rows:
        raise SourceError(
            f"column {dataset.target!r} has {len(names):,} different values in {rows:,} rows, as an"
            f" id or a text has, and no label; {NO_LABEL}"
        )


def _split_off(rows: _Split, names: Sequence[str], dataset: Dataset) -> dict[str, _Split]:
    """Training and test rows, the same as by `download`."""
    import numpy as np

    labels = [names[code] if dataset.labelled else None for code in rows.labels]
    test_rows = max(1, round(dataset.test_fraction * len(rows)))
    _, held_out = sampling.hold_out(labels, test_rows, seed=sampling.FIXED_SEED)
    is_test = np.zeros(len(rows), bool)
    is_test[held_out] = True
    return {"train": rows[~is_test], "test": rows[is_test]}


def _without_test_rows(splits: Mapping[str, _Split]) -> dict[str, _Split]:
    train, test = splits["train"], splits["test"]
    kept = train[~duplicates.occurring_in(train.inputs, test.inputs)]
    if not len(kept):
        raise SourceError("every training row stands in the test rows; name another --test file")
    return {**splits, "train": kept}


def _check_labels(
    splits: Mapping[str, _Split], names: Sequence[str], dataset: Dataset, *, split_off: bool
) -> None:
    """Refuse labels of which no row would be left for training, as `download` does."""
    import numpy as np

    trained = np.bincount(splits["train"].labels, minlength=len(names)).tolist()
    counts = _counts(splits, names)
    rare = [
        f"{name!r} ({counts[name]} row{'s' * (counts[name] > 1)})"
        for name, left in zip(names, trained, strict=True)
        if counts[name] and (not left or (split_off and counts[name] < 2))
    ]
    if rare:
        more = f" and {len(rare) - LISTED} more" if len(rare) > LISTED else ""
        raise SourceError(
            f"column {dataset.target!r}: too few rows for training and test rows have the labels"
            f" {', '.join(rare[:LISTED])}{more}; add rows with them, or take these out"
        )


def _named(dataset: Dataset) -> str:
    path = dataset.path
    return path if isinstance(path, str) else ", ".join((path or {}).values())
