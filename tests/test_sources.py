"""Rows come in whole and alike from every kind of file; what is wrong with them has a place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from toys import dataset, fault, get, read, write_parquet

from tunebench import config, paths, results
from tunebench.config.data import Dataset
from tunebench.data import checking
from tunebench.data.sources import generator
from tunebench.data.sources.fingerprints import digests
from tunebench.errors import ParameterError, SourceError

ROWS = [
    {"text": "good, very good", "label": "positive"},
    {"text": 'she said "no"\nand left', "label": "negative"},
    {"text": "  café 😀\t", "label": "positive"},
    {"text": "so\u2028so", "label": "negative"},
]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_delimited(path: Path, delimiter: str) -> None:
    lines = [["text", "label"], *([quoted(row["text"]), row["label"]] for row in ROWS)]
    path.write_text("".join(delimiter.join(line) + "\r\n" for line in lines), newline="")


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
            "line 4: character 4: byte 0xE9 is not UTF-8; it looks like cp1252: if it is, write"
            " encoding: cp1252",
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
            (GOOD_CSV + 'x\n"never closed,b\n').encode(),
            "line 3: has not the header's 2 fields; quote a text that holds the separator",
        ),
        (
            "r.csv",
            (GOOD_CSV + '"never, closed,b\n').encode(),
            "line 3: unexpected end of data; mend the quotes, or write quoting: none if they are"
            " text",
        ),
        (
            "r.csv",
            (GOOD_CSV + '"a, a"b,c\n').encode(),
            "line 3: ',' expected after '\"'; mend the quotes, or write quoting: none if they are"
            " text",
        ),
        (
            "r.csv",
            b"text;label\nfine, really;a\n",
            "line 1: its fields stand between semicolons, not commas; save it with commas",
        ),
        (
            "r.csv",
            b"text\tlabel\nfine\ta\n",
            "line 1: its fields stand between tabs, not commas; name it .tsv",
        ),
        (
            "r.tsv",
            b"text,label\nfine,a\n",
            "line 1: its fields stand between commas, not tabs; save it with tabs",
        ),
        (
            "r.jsonl",
            b'{"text": "a", "label": "b"}\n\n{"text": "a",}\n',
            "line 3: is not JSON: Illegal trailing comma before end of object",
        ),
        (
            "r.jsonl",
            b'{"text": "a", "label": "b"}\n\xff\n',
            "line 2: character 1: byte 0xFF is not UTF-8;",
        ),
        ("r.jsonl", b'["a", "b"]\n', "line 1: is no mapping of column to value"),
        ("r.json", b'[{"text": "a",\n "label" "b"}]', "line 2: is not JSON: Expecting ':'"),
        ("r.json", b'{"text": "a"}', "holds no list of rows; write [{…}, {…}]"),
        (
            "r.json",
            b'{"text": "a"}\n{"text": "b"}\n',
            "line 2: a second value begins; name the file .jsonl if each line is a row",
        ),
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
            "r.jsonl",
            b'{"text": ["a", "b"], "label": "b"}\n',
            "line 1: 'text' holds a list, not a text; write it as one text, or name another column",
        ),
        (
            "r.json",
            b'[{"text": "a", "label": "b"}, {"text": "a", "label": {"name": "b"}}]',
            "row 2: 'label' holds a mapping, not a text; write it as one text,",
        ),
        (
            "r.jsonl",
            b'{"text": "half \\ud83d", "label": "b"}\n',
            "line 1: holds half of a character, '\\ud83d'; write it whole",
        ),
        (
            "r.csv",
            b"text,label,text,,\na,b,c,,\n",
            "line 1: 2 columns are named 'text'; rename or remove all but one",
        ),
        (
            "r.csv",
            b"text,label\rold,mac\rfiles,end\rlines,so",
            "line 1: a carriage return stands alone; save the file with line feeds",
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


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("r.csv", b"", "is empty"),
        ("r.csv", b"text,label\n", "holds no rows"),
        ("r.csv", b"\n\n", "holds no rows"),
        ("r.tsv", b"\xef\xbb\xbf", "holds no rows"),
        ("r.jsonl", b"\n", "holds no rows"),
        ("r.json", b"", "is empty"),
        ("r.json", b"[]", "holds no rows"),
        ("r.parquet", b"", "is empty"),
    ],
)
def test_file_without_rows(name: str, content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert fault(path) == f"{path}: {what}; put the train rows there, or name another file"


def test_columns_without_a_name_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label,,\na,b,,\n")
    [(_, row)] = read(path)
    assert (row["text"], row["label"]) == ("a", "b")


def test_parquet_reads_the_wanted_columns_only(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1, "other": "x" * 9, "premise": "p"}]
    path = write_parquet(tmp_path / "rows.parquet", rows)
    assert [row for _, row in read(path)] == [{"text": "a", "label": 1}]
    columns = {"text": "text", "label": "label", "first": "premise"}
    assert set(read(path, columns=columns)[0][1]) == {"text", "label", "premise"}
    with pytest.raises(SourceError) as caught:
        get(path, columns={"text": "text", "label": "lable"})
    assert str(caught.value) == (
        f"{path}: row 1: there is no column 'lable'; did you mean 'label'?"
    )


def test_parquet_bytes_are_no_text(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", [{"text": b"a", "label": 1}])
    assert fault(path).startswith(f"{path}: row 1: 'text' holds bytes, not a text;")


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
    assert list(generator.fingerprint(made("toy_rows"))) == ["toy_rows.py"]
    found = get(None, generator="toy_rows", rows={"train": 6, "test": 4})
    assert found.card["rows"] == {"train": 6, "test": 4}
    assert found.texts("test") == ["2 0", "2 1", "2 2", "2 3"]


@pytest.mark.parametrize("module", ["nowhere.rows", "tunebench.demo.nothing", "json.x", ".a"])
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
        "params.yaml: models.tiny.path: modle is no folder; name one with config.json and weights,"
        " or a GGUF file",
    ]


def test_check_writes_what_each_source_is(project: Any) -> None:
    found = checking.check(config.load())
    assert list(found) == ["reviews", "tiny", "forgetting_text"]
    assert found["forgetting_text"] == {}
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
