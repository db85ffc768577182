"""The texts of another domain that models are asked about before and after tuning."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tunebench import paths
from tunebench.config.data import Dataset
from tunebench.config.schema import Forgetting
from tunebench.data import download, sampling, tables
from tunebench.errors import ParameterError


def read(
    dataset: Dataset,
    held: Forgetting,
    fingerprint: dict[str, str],
    *,
    earlier: download.Card | None = None,
) -> tuple[list[str], download.Card]:
    """Some of a data set's test texts, stratified and seeded as the test sample is, and its card.

    Args:
        fingerprint: what `check` found of its source.
        earlier: the card of an earlier reading; see `download.download`.

    Raises:
        SourceError: for rows that cannot be read as they are.
        ParameterError: if there are fewer of them.
    """
    # beside what it becomes: the system's own temporary folder may be small
    with TemporaryDirectory(prefix=".forgetting_text.", dir=paths.DATA) as name:
        folder = Path(name)
        card = download.download(dataset, fingerprint, folder, earlier=earlier)
        test = folder / "test.parquet"
        if held.rows > card["rows"]["test"]:
            raise ParameterError(
                [
                    f"params.yaml: evaluation.forgetting.rows: {held.rows} is more than the"
                    f" {card['rows']['test']} test rows of {held.dataset!r}; use at most that"
                ]
            )
        labels = sampling.labels_of(test, stratify=dataset.labelled)
        rows = tables.take(test, sampling.test_sample(labels, held.rows))
        return [row["text"] for row in rows], card
