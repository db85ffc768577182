"""Rows come in whole and alike from every kind of file; what is wrong with them has a place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tunebench import checking, config, download, paths, results
from tunebench.config.data import Dataset
from tunebench.errors import ParameterError, SourceError
from tunebench.sources import files, generator, source_of
from tunebench.sources.fingerprints import digests

ROWS = [
    {"text": "good, very good", "label": "positive"},
    {"text": 'she said "no"\nand left', "label": "negative"},
    {"text": "  café 😀\t", "label": "positive"},
    {"text": "so\u2028so", "label": "negative"},
]


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
    return list(source_of(dataset(path)).open_rows(dataset(path, **changed)).splits["train"])


def fault(path: Any, **changed: Any) -> str:
    with pytest.raises(SourceError) as caught:
        download.download(dataset(path, **changed), {})
    return str(caught.value)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_delimited(path: Path, delimiter: str) -> None:
    lines = [["text", "label"], *([quoted(row["text"]), row["label"]] for row in ROWS)]
    path.write_text("".join(delimiter.join(line) + "\r\n" for line in lines), newline="")


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    write_delimited(tmp_path / "rows.csv", ",")
    write_delimited(tmp_path / "rows.TSV", "\t")
    (tmp_path / "rows.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)))
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=1))
    write_parquet(tmp_path / "rows.parquet", ROWS)
    kinds = sorted(tmp_path.iterdir())
    assert len(kinds) == 5
    for path in kinds:
        assert [row for _, row in read(path)] == ROWS, path


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.json"])
def test_byte_order_mark_is_no_text(name: str, tmp_path: Path) -> None:
    body = {"rows.csv": "text,label\na,b\n", "rows.jsonl": '{"text": "a", "label": "b"}'}
    text = body.get(name, '[{"text": "a", "label": "b"}]')
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [row for _, row in read(tmp_path / name)] == [{"text": "a", "label": "b"}]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"two\nlines",a\n\none,b\n"x\n\ny",a\nlast,b\n')
    assert [place for place, _ in read(path)] == [f"{path}: line {n}" for n in (2, 5, 6, 9)]


def test_line_of_a_header_that_spans_two(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('\ntext,"label\nof it"\na,b\n')
    assert read(path) == [(f"{path}: line 4", {"text": "a", "label\nof it": "b"})]


GOOD_CSV = "text,label\nfine,a\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "r.csv",
            GOOD_CSV.encode() + '"a\nb",é\n'.encode("latin-1"),
            "line 4: byte 4 is not UTF-8; save the file as UTF-8",
        ),
        (
            "r.csv",
            (GOOD_CSV + '"a\nb",c\none, two,b\n').encode(),
            "line 5: has not the header's 2 fields; quote a text that holds the separator",
        ),
        (
            "r.csv",
            (GOOD_CSV + "alone\n").encode(),
            "line 3: has not the header's 2 fields; quote a text that holds the separator",
        ),
        (
            "r.csv",
            (GOOD_CSV + '"never closed,b\n').encode(),
            "line 3: unexpected end of data; mend the quotes",
        ),
        (
            "r.csv",
            (GOOD_CSV + '"a"b,c\n').encode(),
            "line 3: ',' expected after '\"'; mend the quotes",
        ),
        (
            "r.jsonl",
            b'{"text": "a", "label": "b"}\n\n{"text": "a",}\n',
            "line 3: is not JSON: Illegal trailing comma before end of object",
        ),
        ("r.jsonl", b'{"text": "a", "label": "b"}\n\xff\n', "line 2: byte 1 is not UTF-8;"),
        ("r.jsonl", b'["a", "b"]\n', "line 1: is no mapping of column to value"),
        ("r.json", b'[{"text": "a",\n "label" "b"}]', "line 2: is not JSON: Expecting ':'"),
        ("r.json", b'{"text": "a"}', "holds no list of rows; write [{…}, {…}]"),
        ("r.json", b"[1]", "row 1: is no mapping of column to value"),
        ("r.parquet", b"text,label\n", "is not Parquet: "),
        (
            "r.csv",
            b"txt,label\na,b\n",
            "line 2: there is no column 'text'; did you mean 'txt'?",
        ),
        (
            "r.csv",
            b"text,class\na,b\n",
            "line 2: there is no column 'label'; choose from: class, text",
        ),
        (
            "r.jsonl",
            b'{"text": "a", "label": "b"}\n{"text": "a"}\n',
            "line 2: there is no column 'label'; choose from: text",
        ),
        (
            "r.csv",
            (GOOD_CSV + "  ,b\n").encode(),
            "line 3: 'text' is empty; fill it in, or leave such rows out with drop_empty: true",
        ),
        (
            "r.jsonl",
            b'{"text": "a", "label": null}\n',
            "line 1: 'label' is empty; fill it in, or leave such rows out with drop_empty: true",
        ),
    ],
)
def test_bad_row_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if "trailing comma" in message:  # Python words it anew from 3.13 on
        message = message.split(": is not JSON")[0]
    assert fault(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize("content", [b"", b"text,label\n", b"\n\n"])
def test_file_without_rows(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(content)
    assert fault(tmp_path / "r.csv") == "the train rows: there are none"


def test_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    (tmp_path / "empty").mkdir()
    path = tmp_path / "rowz.csv"
    assert fault(path) == f"path: {path} is not there; did you mean '{tmp_path / 'rows.csv'}'?"
    path = tmp_path / "none" / "rows.csv"
    assert fault(path) == f"path: {path} is not there; {path.parent} is no folder"
    path = tmp_path / "empty" / "rows.csv"
    assert fault(path) == f"path: {path} is not there; there are none"


def test_file_of_an_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    path.touch()
    assert fault(path) == (
        f"path: {path} is of an unknown kind; use one of .csv, .json, .jsonl, .parquet, .tsv"
    )


def split_files(folder: Path) -> None:
    (folder / "train.csv").write_text("text,label\na,x\nb,y\nc,x\n")
    (folder / "test.jsonl").write_text('{"text": "b", "label": "x"}\n{"text": "d", "label": "y"}\n')


def test_folder_of_splits(tmp_path: Path) -> None:
    split_files(tmp_path)
    (tmp_path / "notes.csv").write_text("nothing of ours")
    found = download.download(dataset(tmp_path, licence="CC0"), {"train": "0f"})
    assert {split: [row["text"] for row in rows] for split, rows in found.splits.items()} == {
        "train": ["a", "b", "c"],
        "test": ["b", "d"],
    }
    assert found.card == {
        "source": str(tmp_path),
        "task": "classification",
        "labels": ["x", "y"],
        "licence": "CC0",
        "sha256": {"train": "0f"},
        "rows": {"train": 3, "test": 2},
        "rows_dropped": {},
        "test_rows_in_train": 1,
    }


def test_folder_faults(tmp_path: Path) -> None:
    assert fault(tmp_path) == (f"path: {tmp_path} holds no train file (train.csv, train.jsonl, …)")
    split_files(tmp_path)
    (tmp_path / "train.jsonl").touch()
    assert fault(tmp_path) == f"path: {tmp_path} holds two files for train; name them"


def test_label_that_training_never_has(tmp_path: Path) -> None:
    split_files(tmp_path)
    (tmp_path / "test.jsonl").write_text('{"text": "b", "label": "xx"}\n')
    assert fault(tmp_path) == (
        "label 'xx' of row test-0 stands in the test rows but never in the training rows;"
        " did you mean 'x'?"
    )


def test_one_label_is_no_task(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("text,label\n" + "a,x\n" * 10)
    assert fault(tmp_path / "r.csv") == "all training rows have the label 'x'; there is no task"


def test_empty_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    split_files(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\na,x\n ,x\nb,y\nc,\n,\n")
    found = download.download(dataset(tmp_path, drop_empty=True), {})
    assert [row["id"] for row in found.splits["train"]] == ["train-0", "train-2"]
    assert found.card["rows_dropped"] == {"train: label empty": 1, "train: text empty": 2}
    assert found.card["rows"] == {"train": 2, "test": 2}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["bad", "good"], ["bad", "good"]),
        ({1: "good", 0: "bad"}, ["good", "bad"]),
        ({"0": "bad", "1": "good"}, ["bad", "good"]),
        (["bad", "good", "unused"], ["bad", "good"]),
    ],
)
def test_labels_get_names(names: Any, labels: list[str], tmp_path: Path) -> None:
    rows = [{"text": f"t{number}", "label": number % 2} for number in range(10)]
    write_parquet(tmp_path / "r.parquet", rows)
    found = download.download(dataset(tmp_path / "r.parquet", label_names=names), {})
    assert found.card["labels"] == labels
    both = found.splits["train"] + found.splits["test"]
    assert {row["text"]: row["target"] for row in both} == {
        f"t{number}": ("bad", "good")[number % 2] for number in range(10)
    }


def test_two_labels_may_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("text,label\n" + "a,1\nb,2\nc,5\n" * 4)
    names = {1: "bad", 2: "bad", 5: "good"}
    found = download.download(dataset(tmp_path / "r.csv", label_names=names), {})
    assert found.card["labels"] == ["bad", "good"]


def test_label_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("text,label\na,0\nb,7\n")
    assert fault(path, label_names=["bad", "good"]) == (
        f"{path}: line 3: label '7' has no label_names; choose from: 0, 1"
    )


def test_one_file_is_split_by_label(tmp_path: Path) -> None:
    lines = [f"text {number},{'xyy'[number % 3]}" for number in range(60)]
    (tmp_path / "r.csv").write_text("text,label\n" + "\n".join(lines))
    found = download.download(dataset(tmp_path / "r.csv", test_fraction=0.25), {})
    train, test = found.splits["train"], found.splits["test"]
    assert (len(train), len(test)) == (45, 15)
    assert sum(row["target"] == "x" for row in test) == 5
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    again = download.download(dataset(tmp_path / "r.csv", test_fraction=0.25), {})
    assert again.splits == found.splits


def test_one_row_cannot_be_split(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(GOOD_CSV)
    assert fault(tmp_path / "r.csv") == "1 rows cannot be split into training and test rows"


def test_summaries_need_no_label(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("talk,gist\n" + "".join(f"a {n},b {n}\n" for n in range(5)))
    changed = {"task": "summarization", "columns": {"text": "talk", "summary": "gist"}}
    found = download.download(dataset(tmp_path / "r.csv", **changed), {})
    assert found.card["labels"] == []
    assert found.card["rows"] == {"train": 4, "test": 1}


def test_fingerprints_follow_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.csv"
    path.write_text("abc")
    before = digests([path])
    assert before == {path: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    stamp = path.stat().st_mtime_ns
    path.write_text("xyz")
    os.utime(path, ns=(stamp, stamp))
    assert digests([path]) == before  # same size and time: not read again
    os.utime(path, ns=(stamp + 1, stamp + 1))
    changed = digests([path])
    assert changed != before
    path.write_text("xyzz")
    os.utime(path, ns=(stamp + 1, stamp + 1))
    assert digests([path]) != changed
    assert len(results.read(paths.FINGERPRINTS)) == 1


def made(module: str) -> Dataset:
    rows = {"train": 6, "test": 4}
    return dataset(None, generator=module, rows=rows)


def test_generator_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy_rows.py").write_text(
        "def generate(rows, *, seed):\n"
        "    return [{'text': f'{seed} {n}', 'label': 'ab'[n % 2]} for n in range(rows)]\n"
    )
    found = download.download(made("toy_rows"), generator.fingerprint(made("toy_rows")))
    assert list(found.card["sha256"]) == ["toy_rows.py"]
    assert found.card["rows"] == {"train": 6, "test": 4}
    assert [row["text"] for row in found.splits["test"]] == ["2 0", "2 1", "2 2", "2 3"]


@pytest.mark.parametrize("module", ["nowhere.rows", "tunebench.demo.nothing", "json.x", "", ".a"])
def test_generator_that_is_no_module(module: str) -> None:
    with pytest.raises(SourceError) as caught:
        generator.fingerprint(made(module))
    assert str(caught.value) == (
        f"generator: {module!r} is no importable module;"
        " name one with a function generate(rows, *, seed)"
    )


def test_check_tells_every_missing_source_at_once(valid: dict[str, Any], project: Any) -> None:
    valid["datasets"]["reviews"]["path"] = "rows.csv"
    valid["models"]["tiny"]["path"] = "modle"
    project.write_params(valid)
    with pytest.raises(ParameterError) as caught:
        checking.check(config.load())
    assert caught.value.faults == [
        "params.yaml: datasets.reviews.path: rows.csv is not there; choose from: model,"
        " params.yaml, test.jsonl, train.csv",
        "params.yaml: models.tiny.path: modle is no folder; name one with config.json and weights",
    ]


def test_check_writes_what_each_source_is(project: Any) -> None:
    found = checking.check(config.load())
    assert list(found) == ["reviews", "tiny"]
    assert found["reviews"]["source"] == {
        "path": {"train": "train.csv", "test": "test.jsonl"},
        "task": "classification",
        "columns": {"label": "label"},
    }
    assert {key: len(value) for key, value in found["reviews"]["fingerprint"].items()} == {
        "train": 64,
        "test": 64,
    }
    assert sorted(found["tiny"]["files"]) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_files_keep_the_order_of_splits(tmp_path: Path) -> None:
    split_files(tmp_path)
    given = {"test": str(tmp_path / "test.jsonl"), "train": str(tmp_path / "train.csv")}
    assert list(files.locate(dataset(given))) == ["train", "test"]
