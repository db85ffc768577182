"""Parquet files say what they know of their labels: names kept by `datasets`, dictionaries."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import fault, get, read

NAMES = ["negative", "positive"]


def write(path: Path, labels: list[Any], feature: Any = None, start: int = 0) -> Path:
    """A file as `datasets` writes it; the labels are of class `feature`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=NAMES) if feature is None else feature,
            "tags": datasets.List(datasets.ClassLabel(names=["x", "y"])),
        }
    )
    rows = {
        "text": [f"t{start + n}" for n in range(len(labels))],
        "label": labels,
        "tags": [[0]] * len(labels),
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def test_names_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [0, 1] * 5)
    found = get(path)
    assert found.card["labels"] == NAMES
    assert found.targets()["t1"] == "positive"
    assert get(path, label_names=["bad", "good"]).card["labels"] == ["bad", "good"]


def test_hidden_labels_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [0, 1] * 5 + [-1, None])
    assert fault(path).startswith(f"{path}: row 11: 'label' is empty; fill it in")
    found = get(path, drop_empty=True)
    assert found.card["rows_dropped"] == {"train: label empty": 2}
    assert found.card["labels"] == NAMES
    assert found.card["rows_read"] == {"train": 12}


def test_names_of_parts_and_folders(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", [0, 1])
    write(tmp_path / "train-00001-of-00002.parquet", [1, 0], start=10)
    write(tmp_path / "test/part.parquet", [1], start=20)
    pq.write_table(
        pa.table({"text": ["v"], "label": [0]}), tmp_path / "validation.parquet"
    )  # which pandas may have written
    found = get(tmp_path)
    assert found.card["labels"] == NAMES
    assert found.targets()["t20"] == "positive"
    assert found.targets()["v"] == "negative"


def test_names_that_disagree(tmp_path: Path) -> None:
    first = write(tmp_path / "train.parquet", [0, 1])
    second = write(
        tmp_path / "test.parquet", [0, 1], datasets.ClassLabel(names=NAMES[::-1]), start=10
    )
    message = (
        f"{second}: names the labels of 'label' positive, negative, where {first} names them"
        " negative, positive; write both with the same names, or the names themselves in place of"
        " numbers"
    )
    assert fault(tmp_path) == message
    assert fault(tmp_path, label_names=["a", "b"]) == message  # whose numbers would it name?


def test_number_without_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [0, 1])
    table = pq.read_table(path)
    labels = pa.array([0, 2], pa.int64())
    pq.write_table(table.set_column(1, table.schema.field("label"), labels), path)
    assert fault(path) == f"{path}: row 2: label '2' has no label_names; choose from: 0, 1"


@pytest.mark.parametrize(
    "stated",
    [
        b"no JSON",
        b"[]",
        b"{}",
        b'{"info": null}',
        b'{"info": {"features": {}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}',
        b'{"info": {"features": {"label": {"names": ["a", "b"], "_type": "Value"}}}}',
        b'{"info": {"features": {"label": {"names": [1, 2], "_type": "ClassLabel"}}}}',
        b'{"info": {"features": {"label": {"feature": {"names": ["a"], "_type": "ClassLabel"},'
        b' "_type": "Sequence"}}}}',
    ],
)
def test_metadata_that_names_nothing(stated: bytes, tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{n}" for n in range(8)], "label": [0, 1] * 4})
    path = tmp_path / "r.parquet"
    pq.write_table(table.replace_schema_metadata({b"huggingface": stated}), path)
    assert get(path).card["labels"] == ["0", "1"]


def test_labels_that_are_a_list_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [0, 1])
    columns = {"text": "text", "label": "tags"}
    assert fault(path, columns=columns).startswith(f"{path}: row 1: 'tags' holds a list")


@pytest.mark.parametrize("values", [["a", "b", None, "a"], [0, 1, None, 0]])
def test_dictionary_columns(values: list[Any], tmp_path: Path) -> None:
    labels = pa.array(values * 3).dictionary_encode()
    table = pa.table(
        {"text": pa.array([f"t{n}" for n in range(12)]).dictionary_encode(), "label": labels}
    )
    path = tmp_path / "r.parquet"
    pq.write_table(table, path)
    assert [row["label"] for _, row in read(path)] == values * 3
    found = get(path, drop_empty=True)
    assert found.card["rows_dropped"] == {"train: label empty": 3}
    assert found.card["labels"] == sorted({str(value) for value in values if value is not None})


def test_names_go_with_their_own_column_only(tmp_path: Path) -> None:
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
    table = pa.table({"text": list("abcd"), "label": [0, 1, -1, 0], "stars": [-1, 1, -1, 1]})
    path = tmp_path / "r.parquet"
    stated = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": stated}), path)
    found = get(path, columns={"text": "text", "label": "stars"}, test_fraction=0.5)
    assert found.card["labels"] == ["-1", "1"]
