"""Rows of every split are checked, named, split, counted; the card tells what was done to them."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toys import dataset, fault, get, write_csv, write_parquet

from tunebench.data import download, tables
from tunebench.data.sources import files
from tunebench.data.sources.rows import OpenedSource


def split_files(folder: Path) -> Path:
    write_csv(folder / "train.csv", "a,x", "b,y", "c,x")
    (folder / "test.jsonl").write_text('{"text": "b", "label": "x"}\n{"text": "d", "label": "y"}\n')
    return folder


def test_card_of_a_folder(tmp_path: Path) -> None:
    folder = split_files(tmp_path)
    fingerprint = files.fingerprint(dataset(folder))
    found = get(folder, fingerprint, licence="CC0")
    assert found.texts("train") == ["a", "b", "c"]
    assert found.texts("test") == ["b", "d"]
    assert found.card == {
        "source": str(tmp_path),
        "task": "classification",
        "labels": ["x", "y"],
        "licence": "CC0",
        "sha256": fingerprint,
        "label_spellings": {},
        "quotes_as_text": [],
        "rows_read": {"train": 3, "test": 2},
        "rows": {"train": 3, "test": 2},
        "rows_dropped": {},
        "train_duplicates": 0,
        "train_contradictions": 0,
        "test_rows_in_train": 1,
    }


def test_what_the_source_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"row {n}", {"text": f"t{n}", "label": n % 2}) for n in range(4)]
    opened = OpenedSource(
        {"train": rows, "test": rows[:2]},
        revision="0a1b",
        label_names={"1": "good", "0": "bad", "2": "never"},
        licence="MIT",
    )
    source = SimpleNamespace(open_rows=lambda dataset, pinned: opened)
    monkeypatch.setattr(download, "source_of", lambda dataset: source)
    card = get("rows").card
    assert (card["revision"], card["licence"]) == ("0a1b", "MIT")
    assert card["labels"] == ["good", "bad"]
    own = get("rows", licence="CC0", label_names=["no", "yes"]).card
    assert (own["licence"], own["labels"]) == ("CC0", ["no", "yes"])


def test_further_columns_stand_in_every_row(tmp_path: Path) -> None:
    header = "sentence1,sentence2,gold,page"
    write_csv(tmp_path / "train.csv", "p,h,x,1", "q,,y,2", header=header)
    write_csv(tmp_path / "test.csv", "p,i,x,3", header=header)
    columns = {"text": "sentence1", "hypothesis": "sentence2", "label": "gold", "number": "page"}
    found = get(tmp_path, columns=columns)
    assert found.splits["train"] == [
        {"id": "train-0", "text": "p", "target": "x", "hypothesis": "h", "number": "1"},
        {"id": "train-1", "text": "q", "target": "y", "hypothesis": "", "number": "2"},
    ]
    assert found.card["test_rows_in_train"] == 0  # the same premise, another hypothesis
    assert fault(tmp_path, columns=columns | {"number": "pages"}) == (
        f"{tmp_path / 'train.csv'}: line 2: there is no column 'pages'; did you mean 'page'?"
    )


def test_label_that_training_never_has(tmp_path: Path) -> None:
    split_files(tmp_path)
    (tmp_path / "test.jsonl").write_text('{"text": "b", "label": "xx"}\n')
    assert fault(tmp_path) == (
        "label 'xx' of row test-0 stands in the test rows but never in the training rows;"
        " did you mean 'x'?"
    )


def test_one_label_is_no_task(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"{n},x" for n in range(10)))
    assert fault(path) == "all training rows have the label 'x'; there is no task"


def test_empty_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    split_files(tmp_path)
    write_csv(tmp_path / "train.csv", "a,x", " ,x", "b,y", "c,", ",")
    found = get(tmp_path, drop_empty=True)
    assert [row["id"] for row in found.splits["train"]] == ["train-0", "train-2"]
    assert found.card["rows_dropped"] == {"train: label empty": 1, "train: text empty": 2}
    assert found.card["rows"] == {"train": 2, "test": 2}
    write_csv(tmp_path / "train.csv", ",x", "c,")
    assert fault(tmp_path, drop_empty=True) == (
        "the train rows: there are none left of 2: a text or an answer is empty in each"
    )


def test_cells_that_are_missing_in_parquet(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": float(n % 2)} for n in range(10)]
    rows[3]["label"], rows[4]["text"] = float("nan"), None  # type: ignore[assignment]
    path = write_parquet(tmp_path / "r.parquet", rows)
    found = get(path, drop_empty=True, label_names=["bad", "good"])
    assert found.card["rows_dropped"] == {"train: label empty": 1, "train: text empty": 1}
    assert found.targets()["t5"] == "good"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["bad", "good"], ["bad", "good"]),
        ({1: "good", 0: "bad"}, ["good", "bad"]),
        ({"0": "bad", "1": "good"}, ["bad", "good"]),
    ],
)
@pytest.mark.parametrize(
    "values", [(0, 1), (0.0, 1.0), (False, True), ("0", "1"), ("0.0", "1."), ("bad", " good")]
)
def test_labels_get_names(names: Any, labels: list[str], values: Any, tmp_path: Path) -> None:
    rows = [{"text": f"t{number}", "label": values[number % 2]} for number in range(10)]
    found = get(write_parquet(tmp_path / "r.parquet", rows), label_names=names)
    assert found.card["labels"] == labels
    assert found.targets() == {f"t{number}": ("bad", "good")[number % 2] for number in range(10)}


@pytest.mark.parametrize("values", [("False", "True"), ("false", "TRUE"), (False, True)])
def test_yes_and_no_have_names_of_their_own(values: Any, tmp_path: Path) -> None:
    rows = [{"text": f"t{number}", "label": values[number % 2]} for number in range(10)]
    path = write_parquet(tmp_path / "r.parquet", rows)
    found = get(path, label_names={"false": "ham", "true": "spam"})
    assert found.targets()["t1"] == "spam"


def test_labels_without_names_are_their_own(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"t{n},{(' x', 'y ', '1.0')[n % 3]}" for n in range(30)))
    assert get(path).card["labels"] == ["1.0", "x", "y"]


def test_two_labels_may_share_a_name(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"{n},{(1, 2, 5)[n % 3]}" for n in range(12)))
    found = get(path, label_names={1: "bad", 2: "bad", 5: "good"})
    assert found.card["labels"] == ["bad", "good"]


@pytest.mark.parametrize(
    ("label", "hint"),
    [("7", "choose from: 0, 1"), ("1.5", "choose from: 0, 1"), ("true", "choose from: 0, 2")],
)
def test_label_without_a_name(label: str, hint: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", "a,0", f"b,{label}")
    names = {0: "bad", 2: "good"} if label == "true" else ["bad", "good"]
    assert fault(path, label_names=names) == (
        f"{path}: line 3: label {label!r} has no label_names; {hint}"
    )


def test_name_that_no_row_has(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"t{n},{n % 2}" for n in range(10)))
    assert fault(path, label_names=["bad", "good", "great"]) == (
        "label_names: no training row has the label 'great'; the labels there are bad, good;"
        " take it out of label_names, or mend the rows"
    )


def test_one_file_is_split_by_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"text {n},{'xyy'[n % 3]}" for n in range(60)))
    found = get(path, test_fraction=0.25)
    train, test = found.splits["train"], found.splits["test"]
    assert (len(train), len(test)) == (45, 15)
    assert sum(row["target"] == "x" for row in test) == 5
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    numbers = [int(row["id"].split("-")[1]) for row in test]
    # the rows that the first version of this code chose
    assert numbers == [0, 8, 28, 29, 30, 38, 40, 42, 48, 49, 50, 54, 55, 58, 59]
    assert get(path, test_fraction=0.25) == found
    monkeypatch.setattr(tables, "GROUP_ROWS", 7)
    assert get(path, test_fraction=0.25) == found


TOO_FEW = (
    "too few for training and test rows; add rows with it, take it out, or name a test file"
    " under path"
)


@pytest.mark.parametrize(
    ("labels", "fraction", "what"),
    [("xxxxyyyyz", 0.2, "'z' has 1 of 9 rows"), ("xxxxxxxxyy", 0.9, "'x' has 8 of 10 rows")],
)
def test_label_with_too_few_rows(labels: str, fraction: float, what: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"t{n},{label}" for n, label in enumerate(labels)))
    assert fault(path, test_fraction=fraction) == f"the label {what}, {TOO_FEW}"


def test_one_row_cannot_be_split(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", "fine,a")
    assert fault(path) == "1 rows cannot be split into training and test rows"


def test_summaries_need_no_label(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "r.csv", *(f"a {n // 2},b {n}" for n in range(6)), header="talk,gist"
    )
    found = get(path, task="summarization", columns={"text": "talk", "summary": "gist"})
    assert found.card["labels"] == []
    assert found.card["rows"] == {"train": 5, "test": 1}
    assert found.card["train_contradictions"] == 0  # a text may have several summaries


def repeating_files(folder: Path) -> Path:
    write_csv(folder / "train.csv", "a,x", "b,y", "a,x", "a,y", "c,x", "b,y", "e,y", "A,x")
    write_csv(folder / "test.csv", "a,x", "d,y", "a,y", "e,x")
    write_csv(folder / "validation.csv", "a,x")
    return folder


def test_rows_that_stand_twice_are_counted(tmp_path: Path) -> None:
    found = get(repeating_files(tmp_path)).card
    assert found["train_duplicates"] == 3
    assert found["train_contradictions"] == 1
    assert found["test_rows_in_train"] == 3
    assert found["rows"] == {"train": 8, "validation": 1, "test": 4}
    assert download.metrics(found) == {
        "train_rows": 8,
        "validation_rows": 1,
        "test_rows": 4,
        "labels": 2,
        "train_duplicates": 3,
        "test_rows_in_train": 3,
        "rows_dropped": 0,
    }
    assert download.note(found) == (
        "3 training rows repeat an earlier one; 1 training texts have more than one label;"
        " 3 test rows stand in the training rows (drop_test_duplicates: true drops them there)"
    )


def test_rows_of_the_test_are_dropped_from_training(tmp_path: Path) -> None:
    found = get(repeating_files(tmp_path), drop_test_duplicates=True)
    assert found.texts("train") == ["b", "c", "b", "A"]
    assert found.texts("test") == ["a", "d", "a", "e"]
    assert found.texts("validation") == ["a"]
    assert found.card["rows_dropped"] == {"train: stands in the test rows": 4}
    assert found.card["test_rows_in_train"] == 0
    assert download.note(found.card) == "1 training rows repeat an earlier one"
    write_csv(tmp_path / "train.csv", "a,x", "d,y")
    assert fault(tmp_path, drop_test_duplicates=True).startswith("every training row stands in")


def test_nothing_to_note(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"t{n},{n % 2}" for n in range(10)))
    assert download.note(get(path).card) == ""


def test_the_stage_says_it_in_one_line(project: Any, valid: dict[str, Any]) -> None:
    repeating_files(project.folder / "rows")
    valid["datasets"]["reviews"]["path"] = "rows"
    project.write_params(valid)
    assert project.run("check").returncode == 0
    done = project.run("download", "--dataset", "reviews")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("reviews: 3 training rows repeat an earlier one; ")
    assert Counter(Path(name).name for name in project.files()) == Counter(
        ["reviews.json"] * 4
        + [
            "published.json",
            "cost.json",
            "report.json",
            "serving.json",
            "virtual_tokens.json",
            "forgetting_text.json",
            "tiny.json",
            "card.json",
            "train.parquet",
            "validation.parquet",
            "test.parquet",
        ]
    )
    # a split that is no longer there goes, also where no DVC cleans up before
    (project.folder / "rows" / "validation.csv").unlink()
    assert project.run("check").returncode == 0
    assert project.run("download", "--dataset", "reviews").returncode == 0
    assert len(project.files()) == 14


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in range(count):
            yield "here", {"text": f"{index} " + "x" * 2_000, "label": index % 2}

    def peak_bytes(count: int) -> int:
        source = SimpleNamespace(
            open_rows=lambda dataset, pinned: OpenedSource({"train": rows(count)})
        )
        monkeypatch.setattr(download, "source_of", lambda dataset: source)
        tracemalloc.start()
        download.download(dataset("rows"), {}, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    monkeypatch.setattr(tables, "GROUP_ROWS", 100)
    peak_bytes(200)  # imports are no rows
    # 10 MB of text more may cost 200 bytes a row, for labels, hashes and the order
    assert peak_bytes(6_000) - peak_bytes(1_000) < 5_000 * 200
