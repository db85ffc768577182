"""Whether a data set's files are still those that the stage `check` read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tunebench.config.data import Dataset
from tunebench.data.sources import source_of
from tunebench.errors import SourceError


@contextmanager
def unchanged(dataset: Dataset, fingerprint: Mapping[str, str]) -> Iterator[None]:
    """Refuse files that are not those of the fingerprint before, or not any more after, the block.

    Their rows would be recorded with the hashes of others. A fault of a row may also come from
    that: the file is read while another program writes it.

    Raises:
        SourceError: with the files.
    """
    _check(dataset, fingerprint)
    try:
        yield
    except SourceError:
        _check(dataset, fingerprint)
        raise
    _check(dataset, fingerprint)


def _check(dataset: Dataset, fingerprint: Mapping[str, str]) -> None:
    now = source_of(dataset).fingerprint(dataset) if fingerprint else {}
    changed = sorted(name for name, _ in now.items() ^ fingerprint.items())
    if changed:
        kind = "generator" if dataset.generator is not None else "path"
        places: dict[Any, str] = dataset.path if isinstance(dataset.path, dict) else {}
        listed = dict.fromkeys(str(places.get(name.split("/")[0], name)) for name in changed)
        what = dataset.generator or (", ".join(listed) if places else dataset.path)
        raise SourceError(
            f"{kind}: {what} changed after the stage check read it; run `dvc repro` again when no"
            " program writes to it"
        )
