"""One data set's rows, read from their source, checked, and described on a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tunebench import sampling
from tunebench.config.data import Dataset
from tunebench.errors import SourceError, suggest
from tunebench.sources import source_of
from tunebench.tables import TextRow


@dataclass(frozen=True)
class Download:
    """Checked rows of each split, and the card that tells what they are."""

    splits: dict[str, list[TextRow]]
    card: dict[str, Any]


@dataclass
class _Reader:
    """Turns a source's rows into text rows, and counts what it leaves out."""

    dataset: Dataset
    dropped: Counter[str] = field(default_factory=Counter)

    def rows(self, split: str, source: Iterable[tuple[str, dict[str, Any]]]) -> list[TextRow]:
        rows = []
        for number, (place, given) in enumerate(source):
            text, target = (
                _cell(given, column, place)
                for column in (self.dataset.columns.text, self.dataset.target)
            )
            missing = [
                column
                for column, value in (
                    (self.dataset.columns.text, text),
                    (self.dataset.target, target),
                )
                if not value.strip()
            ]
            if missing and not self.dataset.drop_empty:
                raise SourceError(
                    f"{place}: {missing[0]!r} is empty; fill it in, or leave such rows out with"
                    " drop_empty: true"
                )
            if missing:
                self.dropped[f"{split}: {missing[0]} empty"] += 1
            else:
                target = self._name(target, place)
                rows.append(TextRow(id=f"{split}-{number}", text=text, target=target))
        if not rows:
            raise SourceError(f"the {split} rows: there are none")
        return rows

    def _name(self, target: str, place: str) -> str:
        names = self.dataset.label_names
        if not self.dataset.labelled or names is None:
            return target
        table = dict(enumerate(names)) if isinstance(names, list) else names
        known = {str(key): name for key, name in table.items()}
        if target not in known:
            raise SourceError(
                f"{place}: label {target!r} has no label_names; {suggest(target, known)}"
            )
        return known[target]


def download(
    dataset: Dataset, fingerprint: dict[str, str], *, earlier: dict[str, Any] | None = None
) -> Download:
    """Read every split, check it, and describe it.

    A source without test rows gives `test_fraction` of its rows, stratified and seeded, for that.

    Args:
        earlier: the card of an earlier download, whose revision is kept while the source is asked
            for in the same words.

    Raises:
        SourceError: for a column that is not there, an empty cell, a row that cannot be read, a
            label in the test rows that training never has.
    """
    source = _source(dataset)
    same = earlier is not None and earlier.get("source") == source
    opened = source_of(dataset).open_rows(
        dataset, pinned=earlier.get("revision") if earlier and same else None
    )
    if dataset.label_names is None and opened.label_names:
        dataset = dataset.model_copy(update={"label_names": dict(opened.label_names)})
    reader = _Reader(dataset)
    splits = {split: reader.rows(split, rows) for split, rows in opened.splits.items()}
    if "test" not in splits:
        splits |= _split(splits["train"], dataset)
    labels = _labels(splits, dataset) if dataset.labelled else []
    card = {
        "source": source,
        **({"revision": opened.revision} if opened.revision else {}),
        "task": dataset.task,
        "labels": labels,
        "licence": dataset.licence or opened.licence or "not stated",
        "sha256": fingerprint or dict(opened.sha256),
        "rows": {split: len(rows) for split, rows in splits.items()},
        "rows_dropped": dict(sorted(reader.dropped.items())),
        "test_rows_in_train": _overlap(splits),
    }
    return Download(splits, card)


def _source(dataset: Dataset) -> Any:
    """What the rows are asked from, as the card says it."""
    if dataset.hub is None:
        return dataset.generator or dataset.path
    return dataset.model_dump(include={"hub", "config", "split", "revision"}, exclude_none=True)


def _cell(row: dict[str, Any], column: str, place: str) -> str:
    if column not in row:
        raise SourceError(
            f"{place}: there is no column {column!r}; {suggest(column, map(str, row))}"
        )
    value = row[column]
    return "" if value is None else str(value)


def _split(rows: list[TextRow], dataset: Dataset) -> dict[str, list[TextRow]]:
    labels = [row["target"] if dataset.labelled else None for row in rows]
    held = max(1, round(dataset.test_fraction * len(rows)))
    if held >= len(rows):
        raise SourceError(f"{len(rows)} rows cannot be split into training and test rows")
    train, test = sampling.hold_out(labels, held, seed=sampling.FIXED_SEED)
    return {"train": [rows[index] for index in train], "test": [rows[index] for index in test]}


def _labels(splits: dict[str, list[TextRow]], dataset: Dataset) -> list[str]:
    trained = {row["target"] for row in splits["train"]}
    for split, rows in splits.items():
        for row in rows:
            if row["target"] not in trained:
                raise SourceError(
                    f"label {row['target']!r} of row {row['id']} stands in the {split} rows but"
                    f" never in the training rows; {suggest(row['target'], trained)}"
                )
    if len(trained) < 2:
        raise SourceError(f"all training rows have the label {trained.pop()!r}; there is no task")
    names = dataset.label_names
    # two source labels may share a name
    order = dict.fromkeys(names.values() if isinstance(names, dict) else names or [])
    return [label for label in order if label in trained] or sorted(trained)


def _overlap(splits: dict[str, list[TextRow]]) -> int:
    trained = {row["text"] for row in splits["train"]}
    return sum(row["text"] in trained for row in splits["test"])
