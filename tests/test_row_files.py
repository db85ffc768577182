"""Random row files of every kind: each row is kept as it was or dropped for a counted reason, and a
damaged file gives one error."""

import csv
import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import Downloaded, get

from tunebench.errors import TunebenchError

KINDS = ("csv", "tsv", "json", "jsonl", "parquet")
EXAMPLES_EACH = 100
randomly = settings(
    max_examples=EXAMPLES_EACH,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SNIPPETS = [
    "</s>", "<|im_end|>", "### Response:", "{text}", "{{", '"', '""', "'", ",", "\t", ";", "\n",
    "\r\n", "\r", " ", "\u00a0", "\0", "\ufeff", "é", "日本", "😀", "\u202e", "=1+1", "-", "#",
    "null", "NaN", "\\n", "\\", "x",
]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(SNIPPETS), max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
NAMES = ["text", "label", "note", "Überschrift", "a,b", 'in "quotes"', "two\nlines", "a\tb", " x "]
LABELS: dict[type, list[Any]] = {
    str: ["spam", "ham", "not sure", "-1", "日本"],
    int: [0, 1, -1, 7],
    float: [0.0, 1.0, 2.5, math.nan],
    bool: [True, False],
}
VALUES = st.one_of(texts, st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none())


@dataclass(frozen=True)
class Rows:
    """Cells by column; which column is what; and the kind of file."""

    kind: str
    columns: dict[str, str]
    cells: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        return [*self.columns.values()]

    def value(self, row: dict[str, Any], role: str) -> str:
        return spelled(row[self.columns[role]], label=role == "label")

    def missing(self, row: dict[str, Any]) -> str | None:
        """The column for which a row is dropped."""
        for role in ("text", "label"):
            if not self.value(row, role).strip():
                return self.columns[role]
        return None


def spelled(value: Any, *, label: bool) -> str:
    """A cell as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not label:
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@st.composite
def row_files(draw: st.DrawFn, kind: str) -> Rows:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=4, max_size=4, unique=True))
    columns = dict(zip(("text", "label", "note", "extra"), names, strict=True))
    delimited = kind in ("csv", "tsv")
    label_type = str if delimited else draw(st.sampled_from([*LABELS]))
    missing = "" if delimited else None
    pool = LABELS[label_type]
    text = texts if delimited or kind == "parquet" else VALUES
    rows = st.fixed_dictionaries(
        {
            columns["text"]: st.one_of(text, st.just(missing), st.just("the same")),
            columns["label"]: st.sampled_from([*pool, *pool, missing]),
            columns["note"]: texts,
            columns["extra"]: texts,
        }
    )
    cells = draw(st.lists(rows, max_size=12))
    whole = {columns["note"]: "", columns["extra"]: ""}
    # two labels at least, or there is no task
    sure = [{columns["text"]: "sure", columns["label"]: label} | whole for label in pool[:2]]
    return Rows(kind, columns, draw(st.permutations([*sure, *cells])))


def encoded(rows: Rows) -> bytes:
    """The file's bytes, as a usual program writes it."""
    if rows.kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows.cells), sink, row_group_size=5)
        return sink.getvalue()
    if rows.kind == "json":
        return json.dumps(rows.cells).encode()
    if rows.kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.cells).encode()
    text = io.StringIO(newline="")
    delimiter = "\t" if rows.kind == "tsv" else ","
    writer = csv.DictWriter(text, rows.names, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows.cells)
    return text.getvalue().encode()


def download(rows: Rows, content: bytes) -> Downloaded:
    """Read the content as training rows, beside one test row."""
    with TemporaryDirectory() as name:
        train, test = Path(name) / f"train.{rows.kind}", Path(name) / "test.jsonl"
        train.write_bytes(content)
        wanted = {role: rows.columns[role] for role in ("text", "label", "note")}
        sure = next(row for row in rows.cells if row[rows.columns["text"]] == "sure")
        test.write_text(json.dumps(sure) + "\n")
        paths = {"train": str(train), "test": str(test)}
        try:
            return get(paths, columns=wanted, quoting="minimal", drop_empty=True)
        except TunebenchError as error:
            # one line with the file, or with what all rows lack
            assert len(str(error).splitlines()) == 1
            assert str(train) in str(error) or "rows" in str(error)
            raise


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_kept_as_they_were_or_counted(kind: str) -> None:
    tried = Counter[str]()

    @randomly
    @given(row_files(kind))
    def holds(rows: Rows) -> None:
        found = download(rows, encoded(rows))
        kept = [row for row in rows.cells if rows.missing(row) is None]
        reasons = Counter(f"train: {name} empty" for name in map(rows.missing, rows.cells) if name)
        assert found.card["rows_read"]["train"] == len(rows.cells)
        assert found.card["rows"]["train"] == len(kept)
        assert found.card["rows_dropped"] == dict(reasons)
        assert [(row["text"], row["target"], row["note"]) for row in found.splits["train"]] == [
            tuple(rows.value(row, role) for role in ("text", "label", "note")) for row in kept
        ]
        tried.update(rows=len(rows.cells), kept=len(kept), files=1)

    holds()
    assert tried["files"] >= EXAMPLES_EACH
    assert tried["rows"] > tried["kept"] > EXAMPLES_EACH


def inserted(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece + content[at:]


DEEP = b"[" * 100_000
DIGITS = b"9" * 5_000
# of every file an error; at: a place in the file
SURE: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": lambda content, at: gzip.compress(content),
    "nothing": lambda content, at: b"",
    "zeros": lambda content, at: bytes(len(content)),
    "UTF-16": lambda content, at: "text,label\n".encode("utf-16"),
    "no UTF-8": lambda content, at: b"\xff\xfe\xff" + content,
    "another kind": lambda content, at: b"%PDF-1.7\n" + content,
}
SURE_JSON: dict[str, Callable[[bytes, int], bytes]] = {
    "deep": lambda content, at: DEEP,
    "deep mapping": lambda content, at: b'{"a":' * 100_000,
    "digits": lambda content, at: b'[{"text": ' + DIGITS + b', "label": "a"}]',
    "half a character": lambda content, at: b'[{"text": "\\ud800", "label": "a"}]',
    "no list": lambda content, at: b"7",
    "cut": lambda content, at: content.rstrip()[:-1],
}
SURE_PARQUET: dict[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda content, at: content[:at],
    "head": lambda content, at: content[at + 1 :][:7],
    "footer": lambda content, at: content[:-8] + b"\xff\xff\xff\x7fPAR1",
}
# an error or not, depending on where
PERHAPS: dict[str, Callable[[bytes, int], bytes]] = {
    "cut anywhere": lambda content, at: content[:at],
    "flipped": lambda content, at: content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :],
    "twice": lambda content, at: content + content,
    "NUL": lambda content, at: inserted(content, at, b"\0"),
    "quote": lambda content, at: inserted(content, at, b'"'),
    "line end": lambda content, at: inserted(content, at, b"\r"),
    "mixed line ends": lambda content, at: content.replace(b"\n", b"\r\n", 1),
    "digits inside": lambda content, at: inserted(content, at, DIGITS),
    "missing piece": lambda content, at: content[:at] + content[at + 9 :],
}


def damages(kind: str) -> dict[str, Callable[[bytes, int], bytes]]:
    own = {"json": SURE_JSON, "jsonl": SURE_JSON, "parquet": SURE_PARQUET}
    return SURE | own.get(kind, {})


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_gives_one_error(kind: str) -> None:
    tried, refused = Counter[str](), Counter[str]()

    @randomly
    @given(row_files(kind), st.sampled_from([*damages(kind), *PERHAPS]), st.data())
    def holds(rows: Rows, name: str, data: st.DataObject) -> None:
        content = encoded(rows)
        at = data.draw(st.integers(0, len(content) - 1))
        damaged = (damages(kind) | PERHAPS)[name](content, at)
        tried[name] += 1
        try:
            card = download(rows, damaged).card
        except TunebenchError:
            refused[name] += 1
        else:
            assert name in PERHAPS
            read, dropped = card["rows_read"]["train"], sum(card["rows_dropped"].values())
            assert read == card["rows"]["train"] + dropped

    holds()
    assert tried.total() >= EXAMPLES_EACH
    assert refused.keys() >= tried.keys() - PERHAPS.keys()
    assert len(tried) >= 10
