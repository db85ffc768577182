"""How many rows a data set has, and some of them, without downloading or reading all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tunebench import paths, results
from tunebench.config.data import Dataset
from tunebench.data import tables
from tunebench.data.sources import files, generator, readers
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError

SAMPLED = 200


@dataclass(frozen=True)
class Rows:
    """Rows by split, as far as they are known, and a sample of the training rows.

    `labels` are those of the sample; `bytes` is how large the source is on disk.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sample: list[TextRow] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def training(self, train_size: int | float) -> int:
        """The training rows of one size; 0 where it is a fraction of nobody knows how many."""
        if isinstance(train_size, int):
            return min(train_size, self.counts.get("train", train_size))
        return int(train_size * self.counts.get("train", 0))

    def tested(self, dataset: Dataset) -> int:
        """The test rows that each method answers; 0 where that is all of nobody knows how many."""
        there = self.counts.get("test", 0)
        wanted = dataset.test_rows or there
        return min(wanted, there) if there else wanted


def of(name: str, dataset: Dataset, *, downloaded: bool) -> Rows:
    """The rows of a data set; without counts and sample if it is on the Hub, and not here yet.

    Args:
        downloaded: whether the stage `download` has run, with these parameters.
    """
    try:
        if downloaded:
            return _stored(name)
        if dataset.generator is not None:
            return _sampled(dataset, dict(_generated(dataset)), _of_generator(dataset))
        if dataset.path is not None:
            located = files.locate(dataset)
            read = (row for path in located["train"] for row in _of_file(path, dataset))
            return _sampled(dataset, _counted(located, dataset), read)
    except (SourceError, KeyError, ValueError):
        pass  # `check` and `download` say what is wrong with the rows
    return Rows()


def _stored(name: str) -> Rows:
    card = results.read(paths.card(name))
    sample = list(islice(tables.stream(paths.split(name, "train")), SAMPLED))
    return Rows(dict(card["rows"]), sample, list(card["labels"]))


def _generated(dataset: Dataset) -> Iterator[tuple[str, int]]:
    for split, count in (dataset.rows or {}).items():
        yield str(split), int(count)


def _of_generator(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for _, row in generator.open_rows(dataset).splits["train"]:
        yield dict(row)


def _of_file(path: Path, dataset: Dataset) -> Iterator[dict[str, Any]]:
    quoting = "minimal" if dataset.quoting == "auto" else dataset.quoting
    columns = dataset.source_columns
    for _, row in readers.read(path, dataset.encoding, columns, quoting, dataset.columns.label):
        yield dict(row)


def _counted(located: dict[str, list[Path]], dataset: Dataset) -> dict[str, int]:
    """The rows of each split, counted in Parquet files, else reckoned from the size of some."""
    counts = {
        split: sum(_count(path, dataset) for path in listed) for split, listed in located.items()
    }
    if "test" not in counts:
        tested = int(counts["train"] * dataset.test_fraction)
        counts |= {"train": counts["train"] - tested, "test": tested}
    return counts


def _count(path: Path, dataset: Dataset) -> int:
    if path.suffix.lower() == ".parquet":
        return tables.count(path)
    if path.suffix.lower() == ".json":
        return sum(1 for _ in readers.read(path, dataset.encoding, ()))
    sampled = list(islice(_of_file(path, dataset), SAMPLED))
    if len(sampled) < SAMPLED:
        return len(sampled)
    # the separators of the cells, and a line's end
    sizes = [sum(len(str(cell).encode()) + 1 for cell in row.values()) for row in sampled]
    return round(path.stat().st_size * len(sizes) / sum(sizes))


def _sampled(dataset: Dataset, counts: dict[str, int], rows: Iterator[dict[str, Any]]) -> Rows:
    columns = dataset.columns
    sample = [
        {
            "text": str(row[columns.text]),
            "target": _named(row[dataset.target], dataset.label_names),
            **{name: str(row[column]) for name, column in columns.further.items()},
        }
        for row in islice(rows, SAMPLED)
        if row.get(dataset.target) is not None and row.get(columns.text) is not None
    ]
    targets = {row["target"] for row in sample}
    labels = sorted(targets | set(_listed(dataset.label_names))) if dataset.labelled else []
    return Rows(counts, sample, labels)


def _listed(label_names: Any) -> Sequence[str]:
    if not label_names:
        return ()
    return list(label_names.values()) if isinstance(label_names, dict) else list(label_names)


def _named(value: Any, label_names: Any) -> str:
    """A cell's label by the name that params.yaml gives it."""
    if isinstance(label_names, dict):
        return str(label_names.get(value, label_names.get(str(value), value)))
    if label_names and str(value).isdecimal() and int(value) < len(label_names):
        return str(label_names[int(value)])
    return str(value)
