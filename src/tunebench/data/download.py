"""One data set's rows, read from their source, checked, and described on a card.

Rows are streamed; only each row's label and a hash of its text stay in memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.config.data import Dataset
from tunebench.data import duplicates, sampling, tables
from tunebench.data.cleaning import Cleaner, SplitIndex
from tunebench.data.sources import source_of
from tunebench.data.sources.rows import Row
from tunebench.data.unchanged import unchanged
from tunebench.errors import SourceError, suggest
from tunebench.progress import over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

Card = dict[str, Any]


@dataclass(frozen=True)
class _Split:
    """One split's file, and the label and text hash of each of its rows."""

    path: Path
    labels: NDArray[np.int32]
    inputs: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, mask: NDArray[np.bool_], *, to: Path) -> _Split:
        """The rows for which `mask` is true, written to another file."""
        tables.select(self.path, mask, to=to)
        return _Split(to, self.labels[mask], self.inputs[mask])


def download(
    dataset: Dataset, fingerprint: dict[str, str], folder: Path, *, earlier: Card | None = None
) -> Card:
    """Read every split, check it, write it to `folder` as Parquet, and describe it.

    If the source has no test rows, a stratified random `test_fraction` of its rows is split off.

    Args:
        fingerprint: of the source, as the stage `check` found it; empty if it has none.
        earlier: the card of an earlier download, whose revision is used again if the source's
            settings are unchanged.

    Returns:
        The data set's card.

    Raises:
        SourceError: for a file that changed after its fingerprint, a missing column, an empty cell,
            an unreadable row, a label in the test rows that is not in the training rows, or a label
            with too few rows to split.
    """
    with unchanged(dataset, fingerprint):
        return _download(dataset, fingerprint, folder, earlier)


def _download(
    dataset: Dataset, fingerprint: dict[str, str], folder: Path, earlier: Card | None
) -> Card:
    source = _source(dataset)
    unchanged = earlier is not None and earlier.get("source") == source
    pinned = earlier.get("revision") if earlier and unchanged else None
    opened = source_of(dataset).open_rows(dataset, pinned=pinned)
    cleaner = Cleaner(dataset, opened.label_names)
    splits, read = {}, Counter[str]()
    for split, rows in opened.splits.items():
        splits[split] = _store(cleaner, split, _counted(rows, split, read), folder)
    cleaner.check_look_alikes()
    if "test" not in splits:
        splits["train"], splits["test"] = _split_off_test(splits["train"], cleaner)
    train, test = splits["train"], splits["test"]
    if dataset.drop_test_duplicates:
        train = splits["train"] = _without_test_rows(train, test, cleaner)
    labels = _labels(splits, cleaner) if dataset.labelled else []
    row_counts = {split: len(rows) for split, rows in splits.items()}
    _check_totals(read, row_counts, cleaner.dropped)
    return {
        "source": source,
        **({"revision": opened.revision} if opened.revision else {}),
        "task": dataset.task,
        "labels": labels,
        "licence": dataset.licence or opened.licence or "not stated",
        "sha256": fingerprint or dict(opened.sha256),
        "label_spellings": cleaner.spellings_by_label(),
        "quotes_as_text": list(opened.quotes_as_text),
        "rows_read": dict(read),
        "rows": row_counts,
        "rows_dropped": dict(sorted(cleaner.dropped.items())),
        "train_duplicates": duplicates.repeated(train.inputs),
        "train_contradictions": duplicates.contradictory(train.inputs, train.labels),
        "test_rows_in_train": int(duplicates.occurring_in(test.inputs, train.inputs).sum()),
    }


def _source(dataset: Dataset) -> Any:
    """The source of the rows, for the card."""
    if dataset.hub is None:
        return dataset.generator or dataset.path
    return dataset.model_dump(include={"hub", "config", "split", "revision"}, exclude_none=True)


def metrics(card: Card) -> dict[str, int]:
    """The metrics of the stage `download`, from its card."""
    return {
        **{f"{split}_rows": rows for split, rows in card["rows"].items()},
        "labels": len(card["labels"]),
        "train_duplicates": card["train_duplicates"],
        "test_rows_in_train": card["test_rows_in_train"],
        "rows_dropped": sum(card["rows_dropped"].values()),
    }


def note(card: Card) -> str:
    """What a user should know: unified spellings, quotes that are text, duplicate rows."""
    notes = []
    if spellings := card["label_spellings"]:
        label, counts = next(iter(spellings.items()))
        notes.append(
            f"{len(spellings)} labels are written in several ways and were unified, as {label!r}:"
            f" {', '.join(map(ascii, list(counts)[:5]))}"
        )
    if files := card["quotes_as_text"]:
        notes.append(
            f"the quotes of {', '.join(files)} are text (quoting: minimal if they are not)"
        )
    if card["train_duplicates"]:
        notes.append(f"{card['train_duplicates']} training rows repeat an earlier one")
    if card["train_contradictions"]:
        notes.append(f"{card['train_contradictions']} training texts have more than one label")
    if card["test_rows_in_train"]:
        notes.append(
            f"{card['test_rows_in_train']} test rows stand in the training rows"
            " (drop_test_duplicates: true drops them there)"
        )
    return "; ".join(notes)


def _counted(rows: Iterable[Row], split: str, read: Counter[str]) -> Iterator[Row]:
    """The source's rows, counted in `read`."""
    for row in rows:
        read[split] += 1
        yield row


def _check_totals(
    read: Mapping[str, int], row_counts: Mapping[str, int], dropped: Mapping[str, int]
) -> None:
    """Assert that every row that was read is kept, or dropped for a counted reason.

    Test rows that were split off count as training rows that were read.
    """
    for split, count in read.items():
        splits = {split} | ({"test"} - set(read) if split == "train" else set())
        reported = sum(rows for reason, rows in dropped.items() if reason.split(":")[0] == split)
        if count != sum(row_counts[name] for name in splits) + reported:
            raise AssertionError(
                f"{count} {split} rows were read, {row_counts} kept and {dict(dropped)} dropped"
            )


def _store(cleaner: Cleaner, split: str, rows: Iterable[Row], folder: Path) -> _Split:
    import numpy as np

    index = SplitIndex()
    path = folder / f"{split}.parquet"
    tables.write(path, cleaner.rows(split, over(rows, unit="row"), index))
    return _Split(
        path, np.frombuffer(index.labels, np.int32), np.frombuffer(index.inputs, np.uint64)
    )


def _split_off_test(rows: _Split, cleaner: Cleaner) -> tuple[_Split, _Split]:
    """Split one split's rows into training and test rows."""
    import numpy as np

    dataset, names, count = cleaner.dataset, list(cleaner.labels), len(rows)
    test_rows = max(1, round(dataset.test_fraction * count))
    if test_rows >= count:
        raise SourceError(f"{count} rows cannot be split into training and test rows")
    labels = [names[code] for code in rows.labels] if dataset.labelled else [None] * count
    _, test_indices = sampling.hold_out(labels, test_rows, seed=sampling.FIXED_SEED)
    is_test = np.zeros(count, bool)
    is_test[test_indices] = True
    if dataset.labelled:
        _check_classes(rows.labels, rows.labels[~is_test], names)
    test_split = rows.select(is_test, to=rows.path.with_name("test.parquet"))
    return rows.select(~is_test, to=rows.path), test_split


def _check_classes(labels: NDArray[np.int32], trained: NDArray[np.int32], names: list[str]) -> None:
    import numpy as np

    counts = np.bincount(labels, minlength=len(names))
    remaining_counts = np.bincount(trained, minlength=len(names))
    for name, count, remaining in zip(names, counts, remaining_counts, strict=True):
        if count and (count < 2 or not remaining):
            raise SourceError(
                f"the label {name!r} has {count} of {len(labels)} rows, too few for training and"
                " test rows; add rows with it, take it out, or name a test file under path"
            )


def _without_test_rows(train: _Split, test: _Split, cleaner: Cleaner) -> _Split:
    """The training rows, without those whose text is in the test rows."""
    shared = duplicates.occurring_in(train.inputs, test.inputs)
    count = int(shared.sum())
    if not count:
        return train
    if count == len(train):
        raise SourceError(
            "every training row stands in the test rows, and drop_test_duplicates: true would"
            " drop them all; name another test file"
        )
    cleaner.dropped["train: stands in the test rows"] = count
    return train.select(~shared, to=train.path)


def _labels(splits: dict[str, _Split], cleaner: Cleaner) -> list[str]:
    """The names of all labels, in the order of `label_names` if given."""
    import numpy as np

    names = list(cleaner.labels)
    present = np.unique(splits["train"].labels)
    trained = {names[code] for code in present}
    for split, rows in splits.items():
        unseen = np.flatnonzero(~np.isin(rows.labels, present))
        if len(unseen):
            [row] = tables.take(rows.path, [int(unseen[0])])
            raise SourceError(
                f"label {row['target']!r} of row {row['id']} stands in the {split} rows but"
                f" never in the training rows; {suggest(row['target'], trained)}"
            )
    if len(trained) < 2:
        raise SourceError(f"all training rows have the label {trained.pop()!r}; there is no task")
    for name in _given_names(cleaner.dataset):
        if name not in trained:
            raise SourceError(
                f"label_names: no training row has the label {name!r}; the labels there are"
                f" {', '.join(sorted(trained))}; take it out of label_names, or mend the rows"
            )
    # two source labels may share a name
    order = dict.fromkeys(cleaner.names.values())
    return [name for name in order if name in trained] or sorted(trained)


def _given_names(dataset: Dataset) -> Iterable[str]:
    names = dataset.label_names
    return names.values() if isinstance(names, dict) else names or []
