"""Rows from a data set repository of the Hugging Face Hub.

The files of one commit are downloaded and verified first, then `datasets` reads them from disk, so
that online and offline runs read the same files in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

from yaml import YAMLError

from tunebench.config.data import Dataset
from tunebench.data.sources import hub_faults, parquet, repository
from tunebench.data.sources.delimited import STYLES, Quoting
from tunebench.data.sources.fetching import Snapshot, fetch
from tunebench.data.sources.quoting import decide
from tunebench.data.sources.repository import Repository
from tunebench.data.sources.rows import OpenedSource, Row
from tunebench.errors import SourceError, suggest
from tunebench.leftovers import remains, remove

SPLITS = ("train", "validation", "test")
# where a repository states its configs, splits and label names
CARDS = ("README.md", ".huggingface.yaml", "dataset_infos.json")
# the formats of `datasets` with rows of text, which run no code and unpickle nothing
FORMATS = ("arrow", "csv", "json", "parquet", "text")
BATCH_ROWS = 1000
# CSV settings that a repository's card can change; if it changes one, it also decides on quotes
PLAIN_CSV = {
    "quoting": 0, "quotechar": '"', "doublequote": True, "escapechar": None, "comment": None,
    "skiprows": None, "header": "infer", "lineterminator": None, "dialect": None,
}  # fmt: skip


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Empty: the commit that `open_rows` resolves identifies the files."""
    repository.check_name(str(dataset.hub))
    return {}


def open_rows(dataset: Dataset, *, pinned: str | None = None) -> OpenedSource:
    """Each split's rows at the resolved commit, each with its number.

    Raises:
        SourceError: if the repository, config or split is not available, or a file is damaged.
    """
    repo = Repository(str(dataset.hub), "dataset", dataset.revision, pinned)
    with hub_faults.explained(repo):
        commit = repository.resolve(repo)
        files = repository.listing(repo, commit)
        _refuse_code(repo, files)
        cards = fetch(repo, commit, {name: files[name] for name in CARDS if name in files})
        mirror = _mirror(repo, files, cards)
        folder = Path(mirror.name)
        builder = _builder(repo, folder, dataset.config)
        specs = _specs(dataset, builder.config.data_files)
        data = _keep_splits(repo, folder, builder, specs.values())
        fetched = fetch(repo, commit, {name: files[name] for name in data})
        _link(folder / repo.label, fetched)
        as_text = _set_quoting(repo, builder, dataset)
        tables = _tables(repo, builder, specs)
    return OpenedSource(
        {split: _rows(mirror, repo.name, split, table, dataset) for split, table in tables.items()},
        revision=commit,
        label_names=_label_names(tables["train"].features.get(dataset.target)),
        licence=repository.licence(cards.folder),
        sha256=fetched.sha256,
        quotes_as_text=as_text,
    )


def _refuse_code(repo: Repository, files: Iterable[str]) -> None:
    if f"{repo.label}.py" in files:
        raise SourceError(
            f"hub: {repo.name} runs code of its own to load ({repo.label}.py), which is refused;"
            " try revision: refs/convert/parquet, the Hub's conversion of it, or name a copy as"
            " Parquet, CSV or JSON lines"
        )


def _mirror(repo: Repository, files: Iterable[str], cards: Snapshot) -> TemporaryDirectory[str]:
    """A folder with the repository's cards, in which every other file is empty.

    `datasets` finds a config's files by their names, so only those need to be downloaded.
    """
    from datasets import config

    cache = Path(config.HF_DATASETS_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    prefix = ".tunebench."
    for leftover in remains(cache, prefix=prefix):
        remove(leftover)
    mirror = TemporaryDirectory(prefix=f"{prefix}{os.getpid()}.", dir=cache)
    root = Path(mirror.name).resolve() / repo.label
    for name in files:
        path = root / name
        if ".." in path.parts or not path.is_relative_to(root):
            raise SourceError(f"hub: {repo.name} names a file outside of itself: {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    _link(root, cards)
    return mirror


def _link(root: Path, fetched: Snapshot) -> None:
    for name in fetched.sha256:
        (root / name).unlink()
        (root / name).symlink_to(fetched.folder / name)


def _builder(repo: Repository, folder: Path, config: str | None) -> Any:
    """The `datasets` builder of one config, which lists the files of its splits."""
    from datasets import (
        get_dataset_config_names,
        get_dataset_default_config_name,
        load_dataset_builder,
    )

    root = str(folder / repo.label)
    try:
        names = get_dataset_config_names(root)
        if config is not None and config not in names:
            raise SourceError(
                f"config: {config!r} is no config of {repo.name}; {suggest(config, names)}"
            )
        if config is None and get_dataset_default_config_name(root) is None:
            raise SourceError(f"config: {repo.name} has several configs; {suggest('', names)}")
        builder = load_dataset_builder(root, name=config, cache_dir=str(folder / "arrow"))
    except (OSError, ValueError, BadZipFile, YAMLError):  # no readable files or card
        builder = None
    if builder is None or type(builder).__module__.split(".")[-1] not in FORMATS:
        raise SourceError(
            f"hub: {repo.name} holds no rows of text that can be read; name a repository with"
            " Parquet, CSV, JSON or text files that are not packed"
        )
    return builder


def _specs(dataset: Dataset, known: Iterable[object]) -> dict[str, str]:
    """Split → the spec that `datasets` reads for it: a split of the repository, or a slice."""
    names = [str(name) for name in known]
    specs: dict[str, str] = (
        {str(split): spec for split, spec in dataset.split.items()}
        if dataset.split
        else {split: split for split in SPLITS if split in names}
    )
    for split, spec in specs.items():
        for base in _bases(spec):
            if base not in names:
                raise SourceError(
                    f"split.{split}: {base!r} is no split of {dataset.hub}; {suggest(base, names)}"
                )
    if "train" not in specs:
        raise SourceError(
            f"split: {dataset.hub} has no split named train; write split: {{train: …, test: …}};"
            f" {suggest('', names)}"
        )
    return {split: specs[split] for split in SPLITS if split in specs}


def _bases(spec: str) -> list[str]:
    """The splits that a spec reads: `train[:10%]+test` reads train and test."""
    return [re.split(r"[\[(]", part)[0].strip() for part in spec.split("+")]


def _keep_splits(repo: Repository, folder: Path, builder: Any, specs: Iterable[str]) -> list[str]:
    """Restrict the builder to the splits that are read; return the names of their files."""
    bases = {base for spec in specs for base in _bases(spec)}
    data_files = builder.config.data_files
    kept_files = type(data_files)({name: data_files[name] for name in data_files if name in bases})
    builder.config.data_files = kept_files
    root = (folder / repo.label).resolve()
    paths = [Path(str(path)) for listed in kept_files.values() for path in listed]
    for path in paths:
        if not path.is_relative_to(root):
            raise SourceError(f"hub: {repo.name} names a file outside of itself: {path}")
    return [path.relative_to(root).as_posix() for path in paths]


def _set_quoting(repo: Repository, builder: Any, dataset: Dataset) -> list[str]:
    """Set how quotes in CSV files are read; return the files in which they are text.

    The data set's entry takes precedence over the repository's card, and that over the content.
    """
    config = builder.config
    if type(builder).__module__.split(".")[-1] != "csv":
        return []
    if dataset.quoting != "auto":
        config.quoting = STYLES[dataset.quoting]
        return []
    if (
        any(getattr(config, key) != usual for key, usual in PLAIN_CSV.items())
        or len(config.sep) > 1
    ):
        return []
    styles: dict[str, Quoting] = {}
    for path in (Path(str(path)) for paths in config.data_files.values() for path in paths):
        decided = decide(
            path,
            config.encoding,
            config.sep,
            columns=dataset.source_columns,
            label=dataset.target if dataset.labelled else None,
            header=config.names,
        )
        if decided is not None:
            styles[path.name] = decided
    if len(set(styles.values())) > 1:
        raise SourceError(
            f"hub: the quotes of {repo.name} are text in"
            f" {', '.join(name for name in styles if styles[name] == 'none')}, and enclose fields"
            f" in {', '.join(name for name in styles if styles[name] == 'minimal')}; write"
            " quoting: none or quoting: minimal to read all alike, or name a config or a split"
        )
    as_text = [name for name, decided in styles.items() if decided == "none"]
    if as_text:
        config.quoting = STYLES["none"]
    return as_text


def _tables(repo: Repository, builder: Any, specs: Mapping[str, str]) -> dict[str, Any]:
    """Each split as a memory-mapped table."""
    from datasets.exceptions import DatasetBuildError

    try:
        # files are verified by hash; its own check counts the rows of every split, also of those
        # that are not read
        builder.download_and_prepare(verification_mode="no_checks")
    # ArrowInvalid is a ValueError, and pyarrow's OSError of a damaged file has no number
    except (DatasetBuildError, OSError, ValueError) as error:
        for fault in (error, error.__cause__):
            if isinstance(fault, OSError) and fault.errno is not None:
                raise fault from None
        raise SourceError(
            f"hub: the files of {repo.name} are not alike, or not what their names say"
            f" ({_reason(error)}); name a config, or another revision"
        ) from None
    tables = {}
    for split, spec in specs.items():
        try:
            tables[split] = builder.as_dataset(split=spec)
        except (ValueError, AssertionError) as error:
            raise SourceError(
                f"split.{split}: {spec!r} cannot be read ({_reason(error)}); write it as train,"
                " train[:1000], train[10%:20%] or train+test"
            ) from None
    return tables


def _reason(error: BaseException) -> str:
    """The first line of the underlying error."""
    cause = error.__cause__ or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")


def _rows(
    mirror: TemporaryDirectory[str], place: str, split: str, table: Any, dataset: Dataset
) -> Iterator[Row]:
    """The table's rows; its folder, `mirror`, is removed after the last one is read."""
    columns = dataset.source_columns
    if columns <= set(table.column_names):  # else the first row says what there is instead
        table = table.select_columns([name for name in table.column_names if name in columns])
    hidden = "-1" if _label_names(table.features.get(dataset.target)) else None
    number = 0
    with parquet.explained(f"hub: {place} {split}", remedy="choose another revision"):
        for batch in table.with_format("arrow").iter(BATCH_ROWS):
            for row in parquet.mappings(batch):
                number += 1
                if str(row.get(dataset.target)) == hidden:
                    row[dataset.target] = None
                yield f"{place}: row {number} of {split}", row
    del mirror


def _label_names(feature: Any) -> dict[str, str]:
    """Integer → name, of a ClassLabel column."""
    names = getattr(feature, "names", None) or []
    return {str(number): name for number, name in enumerate(names)}
