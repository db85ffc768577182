"""Text files come in whole in the encoding that is named, and are refused by name in any other."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import dataset, fault, get, read, write_parquet

from tunebench.data.sources import decoding, files
from tunebench.errors import SourceError

ROWS = [{"text": "café “quoted”", "label": "a"}, {"text": "naïve\nlines ß", "label": "b"}]


def text_of(name: str) -> str:
    if name.endswith(".jsonl"):
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    if name.endswith(".json"):
        return json.dumps(ROWS, ensure_ascii=False, indent=1)
    mark = "\t" if name.endswith(".tsv") else ","
    return "\r\n".join(
        [f"text{mark}label", *(f'"{r["text"].replace(chr(34), chr(34) * 2)}"{mark}{r["label"]}'
                               for r in ROWS)]
    )  # fmt: skip


NAMES = ["rows.csv", "rows.tsv", "rows.jsonl", "rows.json"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "encoding", ["cp1252", "utf-16", "utf-16-le", "utf-32", "utf-8", "gb18030", "mac-roman"]
)
def test_named_encoding_is_read(
    name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_of(name) if encoding != "gb18030" else text_of(name).replace("ï", "i")
    (tmp_path / name).write_bytes(text.encode(encoding))
    whole = [row for _, row in read(tmp_path / name, encoding=encoding)]
    assert [row["text"].replace("ï", "i") for row in whole] == [
        row["text"].replace("ï", "i") for row in ROWS
    ]
    for size in (1, 2, 3, 7):  # characters that two pieces share
        monkeypatch.setattr(decoding, "CHUNK_BYTES", size)
        assert [row for _, row in read(tmp_path / name, encoding=encoding)] == whole


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_byte_order_mark_is_no_text(name: str, encoding: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text_of(name).encode())
    assert [row for _, row in read(tmp_path / name, encoding=encoding)] == ROWS


def test_parquet_has_no_use_for_one(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", ROWS)
    assert [row for _, row in read(path, encoding="cp1252")] == ROWS


@pytest.mark.parametrize("name", ["utf-61", "hex", "a\0b"])
def test_encoding_that_there_is_not(name: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(text_of("rows.csv"))
    with pytest.raises(SourceError) as caught:
        files.locate(dataset(tmp_path / "rows.csv", encoding=name))
    assert str(caught.value) == (
        f"encoding: {name!r} is no encoding that Python knows;"
        " write its name, as cp1252, latin-1, utf-16 or shift_jis"
    )


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "begins with the byte order mark of UTF-16; write encoding: utf-16"),
        ("utf-32", "begins with the byte order mark of UTF-32; write encoding: utf-32"),
        ("utf-16-le", "every other byte is zero, as in UTF-16; write encoding: utf-16-le"),
        ("utf-16-be", "every other byte is zero, as in UTF-16; write encoding: utf-16-be"),
        (
            "cp1252",
            "line 2: character 5: byte 0xE9 is not UTF-8; it looks like cp1252: if it is, write"
            " encoding: cp1252",
        ),
        (
            "mac-roman",
            "line 2: character 5: byte 0x8E is not UTF-8; it looks like cp1252: if it is, write"
            " encoding: cp1252",
        ),
        (
            "cp437",
            "line 2: character 5: byte 0x82 is not UTF-8; it looks like cp1252: if it is, write"
            " encoding: cp1252",
        ),
    ],
)
def test_other_encodings_are_refused_by_name(encoding: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text_of("rows.csv").replace("“quoted”", "").encode(encoding))
    assert fault(path) == f"{path}: {message}"
    if encoding.startswith("utf"):
        assert [row["label"] for _, row in read(path, encoding=encoding)] == ["a", "b"]


def test_what_looks_like_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\nfine,a\n\x83\x81\x8d,b\n")
    assert fault(path) == (
        f"{path}: line 3: character 1: byte 0x83 is not UTF-8; write the encoding that the file was"
        " saved in, as encoding: shift_jis"
    )
    assert fault(path, encoding="cp1252") == (
        f"{path}: line 3: character 2: byte 0x81 is not cp1252;"
        " write the encoding that the file was saved in"
    )


@pytest.mark.parametrize("size", [1, 5, 64, 1 << 20])
@pytest.mark.parametrize("encoding", [None, "utf-16-be", "shift_jis"])
def test_bad_byte_is_named_wherever_a_piece_ends(
    size: int, encoding: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", size)
    path = tmp_path / "rows.csv"
    bad = b"\xdc\x00" if encoding == "utf-16-be" else b"\xff"
    begin = "text,label\nテスト,a\n\n日本".encode(encoding or "utf-8")
    path.write_bytes(begin + bad + "語,b\n".encode(encoding or "utf-8"))
    assert fault(path, encoding=encoding).startswith(
        f"{path}: line 4: character 3: byte 0x{bad[0]:02X} is not {encoding or 'UTF-8'};"
    )


def test_character_that_the_file_ends_within(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\nfine,é".encode()[:-1])
    assert fault(path).startswith(f"{path}: line 2: character 6: byte 0xC3 is not UTF-8;")


def test_a_line_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", 100)
    texts = ["é" * 1000, "short", "x" * 99, "日" * 333]
    path = tmp_path / "rows.csv"
    lines = [f"{text},{label}" for text, label in zip(texts, "abab", strict=True)]
    path.write_text("\n".join(["text,label", *lines]))
    assert [row["text"] for _, row in read(path)] == texts


def test_zero_characters_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"a\0b {n}", "label": "xy"[n % 2]} for n in range(8)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert sorted(get(path).targets()) == [row["text"] for row in rows]
