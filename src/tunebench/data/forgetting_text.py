"""The texts of another domain on which models are evaluated before and after tuning."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tunebench import paths
from tunebench.config.data import Dataset
from tunebench.config.schema import Forgetting
from tunebench.data import download, sampling, tables
from tunebench.errors import ParameterError


def read(
    dataset: Dataset,
    settings: Forgetting,
    fingerprint: dict[str, str],
    *,
    earlier: download.Card | None = None,
) -> tuple[list[str], download.Card]:
    """A sample of a data set's test texts, drawn like the test sample, and the data set's card.

    Args:
        fingerprint: of its source, by the stage `check`.
        earlier: the card of an earlier download; see `download.download`.

    Raises:
        SourceError: for rows that cannot be read.
        ParameterError: if `settings.rows` is more than the test rows.
    """
    # not in the system's temporary folder, which may be small
    prefix = f".{paths.FORGETTING_CARD.name}.{os.getpid()}."
    with TemporaryDirectory(prefix=prefix, dir=paths.DATA) as name:
        folder = Path(name)
        card = download.download(dataset, fingerprint, folder, earlier=earlier)
        test = folder / "test.parquet"
        if settings.rows > card["rows"]["test"]:
            raise ParameterError(
                [
                    f"params.yaml: evaluation.forgetting.rows: {settings.rows} is more than the"
                    f" {card['rows']['test']} test rows of {settings.dataset!r}; use at most that"
                ]
            )
        labels = sampling.labels_of(test, stratify=dataset.labelled)
        rows = tables.take(test, sampling.test_sample(labels, settings.rows))
        return [row["text"] for row in rows], card
