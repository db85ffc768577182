"""What the tests of rows share: a data set's entry, its download, and its fault."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tunebench.config.data import Dataset
from tunebench.data import download, tables
from tunebench.data.sources import source_of
from tunebench.data.tables import TextRow
from tunebench.errors import SourceError


@dataclass(frozen=True)
class Downloaded:
    """The card, and the rows of each file that was written."""

    card: dict[str, Any]
    splits: dict[str, list[TextRow]]

    def texts(self, split: str) -> list[str]:
        return [row["text"] for row in self.splits[split]]

    def targets(self) -> dict[str, str]:
        return {row["text"]: row["target"] for rows in self.splits.values() for row in rows}


def dataset(path: Any, **changed: Any) -> Dataset:
    settings = {
        "path": str(path) if isinstance(path, Path) else path,
        "task": "classification",
        "columns": {"text": "text", "label": "label"},
        "template": "short",
        "training": {},
    }
    return Dataset.model_validate(settings | changed)


def read(path: Path, **changed: Any) -> list[tuple[str, dict[str, Any]]]:
    given = dataset(path, **changed)
    return list(source_of(given).open_rows(given).splits["train"])


def get(path: Any, fingerprint: dict[str, str] | None = None, **changed: Any) -> Downloaded:
    with TemporaryDirectory() as folder:
        card = download.download(dataset(path, **changed), fingerprint or {}, Path(folder))
        written = sorted(Path(folder).iterdir())
        assert {file.suffix for file in written} == {".parquet"}
        return Downloaded(card, {file.stem: tables.read(file) for file in written})


def fault(path: Any, **changed: Any) -> str:
    with pytest.raises(SourceError) as caught:
        get(path, **changed)
    return str(caught.value)


def write_csv(path: Path, *rows: str, header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (header, *rows)))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
