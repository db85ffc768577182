"""Rows from local files: which files of a folder are which split, and whether all are there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tunebench.config.data import Dataset
from tunebench.data.sources.decoding import check_encoding, readable
from tunebench.data.sources.delimited import Quoting, delimiter_of
from tunebench.data.sources.fingerprints import digests
from tunebench.data.sources.quoting import decide
from tunebench.data.sources.readers import KINDS, label_names, read
from tunebench.data.sources.rows import OpenedSource, Row
from tunebench.errors import SourceError, suggest

SPLITS = ("train", "validation", "test")
DELIMITED = (".csv", ".tsv")
# what `datasets` writes for a hidden ClassLabel
HIDDEN = ("-1", "-1.0")
# names of splits in file and folder names
NAMES = {split: split for split in SPLITS} | dict.fromkeys(("valid", "val", "dev"), "validation")


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of each file, by its split, and also by its name if a split has several."""
    files = locate(dataset)
    try:
        hashes = digests(path for paths in files.values() for path in paths)
    except SourceError as error:
        raise SourceError(f"path: {error}") from None
    return {
        split if len(paths) == 1 else f"{split}/{path.name}": hashes[path]
        for split, paths in files.items()
        for path in paths
    }


def open_rows(dataset: Dataset, *, pinned: str | None = None) -> OpenedSource:  # noqa: ARG001
    """Each split's rows, each with its file and line.

    Raises:
        SourceError: if two Parquet files name their labels differently, or the quotes of a file are
            ambiguous.
    """
    files = locate(dataset)
    all_files = [path for paths in files.values() for path in paths]
    names = _label_names(all_files, dataset)
    quoting = {path: _quoting(path, dataset) for path in all_files}
    return OpenedSource(
        {split: _rows(split, paths, dataset, quoting, names) for split, paths in files.items()},
        label_names={str(number): name for number, name in enumerate(names)},
        quotes_as_text=[
            str(path)
            for path, decided in quoting.items()
            if decided == "none" and dataset.quoting == "auto"
        ],
    )


def read_unanswered(
    path: Path, dataset: Dataset, *, encoding: str | None = None, further: Sequence[str] = ()
) -> Iterator[Row]:
    """One file's rows to be answered, read as a data set's own but without its answers.

    Args:
        encoding: as Python names it; UTF-8 where left out.
        further: columns that the data set does not have.

    Raises:
        SourceError: if the file is missing, of an unknown kind, or holds no rows.
    """
    check_file(path)
    check_encoding(encoding)
    columns = {*dataset.source_columns, *further} - {dataset.target}
    quoting: Quoting = "minimal" if dataset.quoting == "auto" else dataset.quoting
    if dataset.quoting == "auto" and path.suffix.lower() in DELIMITED:
        decided = decide(path, encoding, delimiter_of(path), columns=columns, label=None)
        quoting = decided or "minimal"
    empty = True
    for row in read(path, encoding, columns, quoting):
        empty = False
        yield row
    if empty:
        raise SourceError(f"{path}: holds no rows; put some there, or name another file")


def check_file(path: Path) -> None:
    """Refuse what is no file of a known kind."""
    with readable(path):
        _check_place(path, "")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; name one of its files")


def _rows(
    split: str,
    paths: list[Path],
    dataset: Dataset,
    quoting: Mapping[Path, Quoting],
    names: Sequence[str],
) -> Iterator[Row]:
    empty = True
    label = dataset.target if dataset.labelled and dataset.quoting == "auto" else None
    for path in paths:
        arguments = (path, dataset.encoding, dataset.source_columns, quoting[path], label)
        for place, row in read(*arguments):
            empty = False
            if names and str(row.get(dataset.target)) in HIDDEN:
                row[dataset.target] = None
            yield place, row
    if empty:
        where = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        fault = "holds no rows" if any(path.stat().st_size for path in paths) else "is empty"
        raise SourceError(f"{where}: {fault}; put the {split} rows there, or name another file")


def _label_names(paths: Iterable[Path], dataset: Dataset) -> list[str]:
    """The label names in Parquet files' metadata, 0 first; empty if there are none."""
    if not dataset.labelled:
        return []
    stated = {path: names for path in paths if (names := label_names(path, dataset.target))}
    if not stated:
        return []
    first, names = next(iter(stated.items()))
    for path, others in stated.items():
        if others != names:
            raise SourceError(
                f"{path}: names the labels of {dataset.target!r} {', '.join(others)}, where {first}"
                f" names them {', '.join(names)}; write both with the same names, or the names"
                " themselves in place of numbers"
            )
    return names


def _quoting(path: Path, dataset: Dataset) -> Quoting:
    if dataset.quoting != "auto":
        return dataset.quoting
    if path.suffix.lower() not in DELIMITED:
        return "minimal"
    label = dataset.target if dataset.labelled else None
    columns = dataset.source_columns
    decided = decide(path, dataset.encoding, delimiter_of(path), columns=columns, label=label)
    return decided or "minimal"


def locate(dataset: Dataset) -> dict[str, list[Path]]:
    """Each split's files: a single file is `train`, in a folder they are found by their names.

    Files or subfolders are named after splits (`train.csv`, `test-1.csv`,
    `train-00000-of-00002.parquet`, `validation/`); if none is, all files are training rows.

    Raises:
        SourceError: if a file is missing, of an unknown kind, or ambiguous in its split.
    """
    paths = {"train": dataset.path} if isinstance(dataset.path, str) else dict(dataset.path or {})
    places = {str(split): Path(str(path)) for split, path in paths.items()}
    with readable(f"path: {', '.join(map(str, places.values()))}"):
        for path in places.values():
            _check_place(path)
        if isinstance(dataset.path, str) and places["train"].is_dir():
            files = _by_split(places["train"])
        else:
            files = {split: _all_of(path) for split, path in places.items()}
    _refuse_twice(files)
    check_encoding(dataset.encoding)
    return {split: files[split] for split in SPLITS if split in files}


def _check_place(path: Path, key: str = "path: ") -> None:
    _refuse_special(path, key)
    if not path.exists():
        folder = path.parent
        hint = suggest(path, map(str, _visible(folder))) if folder.is_dir() else ""
        raise SourceError(f"{key}{path} is not there; {hint or f'{folder} is no folder'}")
    if path.is_file() and path.suffix.lower() not in KINDS:
        raise SourceError(f"{key}{path} is of an unknown kind; use one of {', '.join(KINDS)}")


def _refuse_special(path: Path, key: str = "path: ") -> None:
    """Refuse links to nothing, pipes and devices."""
    if path.is_symlink() and not path.exists():
        raise SourceError(
            f"{key}{path} is a link to {path.readlink()}, which is not there; mend or remove it"
        )
    if path.exists() and not path.is_file() and not path.is_dir():
        raise SourceError(
            f"{key}{path} is a pipe or a device; save its rows as a file, and name that"
        )


def _visible(folder: Path) -> list[Path]:
    """A folder's visible entries in natural order: part-2 before part-10."""
    return sorted(
        (path for path in folder.iterdir() if not path.name.startswith((".", "_"))),
        key=lambda path: [
            (piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece)
            for piece in re.split(r"(\d+)", path.name)
        ],
    )


def _data_files(folder: Path) -> list[Path]:
    files = [path for path in _visible(folder) if path.suffix.lower() in KINDS]
    for path in files:
        _refuse_special(path)
    return [path for path in files if path.is_file()]


def _all_of(place: Path) -> list[Path]:
    """The files of one split: `place` itself, or all files in that folder."""
    if place.is_file():
        return [place]
    files = _data_files(place)
    if not files:
        _refuse_bare(place)
    if len({path.suffix.lower() for path in files}) > 1:
        raise SourceError(
            f"path: {place} holds files of several kinds, {_listed(files)};"
            " name those to read in path: {train: …, test: …}"
        )
    _check_parts(place, files)
    return files


def _by_split(folder: Path) -> dict[str, list[Path]]:
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _data_files(folder):
        if split := _split_named(path):
            named[split].append(path)
    for split, files in named.items():
        if len({re.sub(r"\d+", "#", path.name.lower()) for path in files}) > 1:
            _refuse_rivals(folder, split, files)
        _check_parts(folder, files)
    for path in _visible(folder):
        if path.is_dir() and path.name.lower() in NAMES and _data_files(path):
            split = NAMES[path.name.lower()]
            if split in named:
                _refuse_rivals(folder, split, [*named[split], path])
            named[split] = _all_of(path)
    if not named:
        return {"train": _all_of(folder)}
    if "train" not in named:
        raise SourceError(f"path: {folder} holds no train file (train.csv, train.jsonl, …)")
    return dict(named)


def _split_named(path: Path) -> str | None:
    words = re.split(r"[^a-z]+", path.stem.lower())
    splits = list(dict.fromkeys(NAMES[word] for word in words if word in NAMES))
    if len(splits) > 1:
        raise SourceError(
            f"path: {path} names both {splits[0]} and {splits[1]};"
            " say which in path: {train: …, test: …}"
        )
    return splits[0] if splits else None


def _check_parts(folder: Path, files: list[Path]) -> None:
    """Refuse files numbered `-of-<all>` if some are missing."""
    totals = [re.search(r"-of-(\d+)$", path.stem) for path in files]
    for path, total in zip(files, totals, strict=True):
        if total and int(total[1]) != len(files):
            raise SourceError(
                f"path: {folder} holds {len(files)} of the {int(total[1])} parts that {path.name}"
                " tells of; bring the others there"
            )


def _refuse_twice(files_by_split: dict[str, list[Path]]) -> None:
    owner: dict[Path, str] = {}
    for split, files in files_by_split.items():
        for path in files:
            other = owner.setdefault(path.resolve(), split)
            if other != split:
                raise SourceError(
                    f"path: {path} is named for {other} and for {split}; give each its own, or"
                    " name train alone, and test rows are split off"
                )


def _refuse_rivals(folder: Path, split: str, files: Iterable[Path]) -> NoReturn:
    raise SourceError(
        f"path: {folder} holds several files for {split}, {_listed(files)};"
        " name the one to read in path: {train: …, test: …}"
    )


def _refuse_bare(folder: Path) -> NoReturn:
    inner = [path.name for path in _visible(folder) if path.is_dir() and _data_files(path)]
    hint = f"; name a folder in it: {', '.join(inner)}" if inner else ""
    raise SourceError(f"path: {folder} holds no data files ({', '.join(KINDS)}){hint}")


def _listed(files: Iterable[Path]) -> str:
    return ", ".join(path.name for path in files)
