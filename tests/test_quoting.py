"""Quotes of CSV and TSV files enclose fields or are text, as each file shows; no row is lost."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import dataset, fault, get, read

from tunebench.data import cleaning, download, tables
from tunebench.data.sources import quoting
from tunebench.errors import SourceError

Rows = list[tuple[str, str]]
MANY = settings(
    max_examples=1_000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
MESSAGES = [
    ('"She came home late .', "ham"),
    ("Win a prize now", "spam"),
    ('Nobody had seen her . "', "ham"),
    ("Call me", "ham"),
    ("Free entry", "spam"),
]


def put(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


def pairs(path: Path, **changed: Any) -> Rows:
    return [(row["text"], row["label"]) for _, row in read(path, **changed)]


def plain(rows: Rows, delimiter: str = "\t", end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in [("text", "label"), *rows])


def written(rows: Rows, style: int, delimiter: str = "\t", end: str = "\r\n") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=style, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("text", "label"), *rows])
    return file.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_of_messages_are_text(end: str, tmp_path: Path) -> None:
    path = put(tmp_path, "r.tsv", plain(MESSAGES, end=end))
    assert pairs(path) == MESSAGES
    found = get(path, test_fraction=0.4)
    assert found.card["quotes_as_text"] == [str(path)]
    assert found.card["rows_read"] == {"train": 5}
    assert found.card["rows"] == {"train": 3, "test": 2}
    assert download.note(found.card) == (
        f"the quotes of {path} are text (quoting: minimal if they are not)"
    )
    assert len(pairs(path, quoting="minimal")) == 3  # as it is asked for


def test_messages_with_every_kind_of_stray_quote(tmp_path: Path) -> None:
    kinds = ('"open', 'close"', 'in "the" middle', '"all"', '"a" b', '""', '"', 'it is 5"', "none")
    rows = [(f"{kinds[n % 9]}", ("ham", "spam")[n % 2]) for n in range(5_574)]
    path = put(tmp_path, "r.tsv", plain(rows))
    assert pairs(path) == rows
    assert pairs(path, quoting="none") == rows
    assert fault(path, quoting="minimal") == (
        f"{path}: line 6: '\t' expected after '\"'; mend the quotes, or write quoting: none if they"
        " are text"
    )


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("style", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_a_program_wrote_comes_back(
    style: int, end: str, delimiter: str, tmp_path: Path
) -> None:
    rows = [
        ("one", "a"),
        (f"two{delimiter}three", "b"),
        ('she said "no"', "a"),
        ("two\nlines", "b"),
        ('a "\rb', "a"),
        ("", "b"),
        (f"x{delimiter}y\nz", "a"),
    ]
    name = "r.csv" if delimiter == "," else "r.tsv"
    path = put(tmp_path, name, written(rows, style, delimiter, end))
    assert pairs(path) == rows
    path = put(tmp_path, name, "\ufeff" + written(rows, style, delimiter, end).rstrip("\r\n"))
    assert pairs(path) == rows


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        # the same rows both ways: in a TSV quotes are text if no program would write them so
        ("r.tsv", 'text\tlabel\n"Go" he said\ta\n', [('"Go" he said', "a")]),
        ("r.tsv", 'text\tlabel\n"Go"\ta\nno\tb\n', [('"Go"', "a"), ("no", "b")]),
        ("r.tsv", 'text\tlabel\n"a ""b"""\ta\n', [('a "b"', "a")]),
        ("r.tsv", '"text"\t"label"\n"Go"\t"a"\n', [("Go", "a")]),
        ("r.tsv", '"text"\t"label"\n"Go"\t1\n', [("Go", "1")]),
        ("r.tsv", 'text\tlabel\n"a, b"\ta\nno, not\tb\n', [('"a, b"', "a"), ("no, not", "b")]),
        (
            "r.tsv",  # as spreadsheets write a text with a comma
            'text\tlabel\n"a, b"\ta\n"c, d"\tb\n"e, f"\tb\nno\tb\n',
            [("a, b", "a"), ("c, d", "b"), ("e, f", "b"), ("no", "b")],
        ),
        ("r.csv", 'text,label\n"Go",a\nno,b\n', [("Go", "a"), ("no", "b")]),
        ("r.csv", 'text,label\n"Go" he said,a\n', [('"Go" he said', "a")]),
        ("r.csv", 'text,label\nfine,a\n"never closed,b\n', [("fine", "a"), ('"never closed', "b")]),
        ("r.csv", '"a,b",text,label\n"1,2",x,y\n', [("x", "y")]),
        ("r.tsv", '"text\tlabel"\ttext\tlabel\nx\ty\n', None),
        # more rows where quotes are text: what would be labels tells
        (
            "r.csv",
            'text,label\n"one, two\nthree",pos\ngood,pos\nbad,neg\n',
            [("one, two\nthree", "pos"), ("good", "pos"), ("bad", "neg")],
        ),
        (
            "r.csv",
            'text,label\n"so,pos\nit said",neg\ngood,pos\nbad,neg\n',
            [('"so', "pos"), ('it said"', "neg"), ("good", "pos"), ("bad", "neg")],
        ),
        (
            "r.csv",  # the label first
            'label,text\npos,"one\ntwo, three"\npos,good\nneg,bad\n',
            [("one\ntwo, three", "pos"), ("good", "pos"), ("bad", "neg")],
        ),
        (
            "r.csv",  # a whole column in quotes, without its header
            'text,label\n"one, two\nthree",pos\n"four",neg\n',
            [("one, two\nthree", "pos"), ("four", "neg")],
        ),
        # none, blank lines, and a header alone
        ("r.tsv", "text\tlabel\n\n\na\tb\n\n", [("a", "b")]),
        ("r.tsv", 'text\tlabel\r\n\r\n"a\tb\r\n\r\n"c\tb\r\n', [('"a', "b"), ('"c', "b")]),
    ],
)
def test_decided_by_the_file(name: str, content: str, expected: Any, tmp_path: Path) -> None:
    path = put(tmp_path, name, content)
    if expected is None:
        assert fault(path).startswith(f"{path}: line 2: has not the header's 3 fields;")
    else:
        assert pairs(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("r.csv", 'text,label\n"a,x\nb",y\nc,z\nd,x\n"e,w\nf",z\n', (6, 4)),  # one known, one not
        ("r.csv", 'text,label\n"a,x\nb",y\n', (2, 1)),
        ("r.tsv", 'text\tlabel\n"a\tx\nb"\ty\nc\ty\n', (3, 2)),
    ],
)
def test_undecided_is_refused_with_both_counts(
    name: str, content: str, rows: tuple[int, int], tmp_path: Path
) -> None:
    path = put(tmp_path, name, content)
    assert fault(path) == (
        f"{path}: holds {rows[0]} rows if its quotes are text, and {rows[1]} if they enclose texts"
        " of several lines; write quoting: none for the first, quoting: minimal for the second"
    )
    assert len(pairs(path, quoting="none")) == rows[0]
    assert len(pairs(path, quoting="minimal")) == rows[1]


def test_summaries_have_no_labels_to_decide_by(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", 'text,gist\n"a, b\nc",d\ne,f\n')
    summaries = {"task": "summarization", "columns": {"text": "text", "summary": "gist"}}
    assert "holds 3 rows if its quotes are text, and 2 if" in fault(path, **summaries)
    assert len(read(path, quoting="minimal", **summaries)) == 2


def test_rows_within_quotes_of_a_file_that_has_a_broken_line(tmp_path: Path) -> None:
    lines = [('"She came', "ham"), ("Win", "spam"), ('Nobody "', "ham"), ("Call", "spam")]
    path = put(tmp_path, "r.tsv", plain(lines).replace("Win", "Broken\nWin"))
    assert fault(path) == (
        f"{path}: line 2: a quote begins there that ends 3 lines further down, and 2 of these have"
        " the fields and the label of rows of their own; write quoting: none if the quotes are"
        " text, or quoting: minimal if they enclose one text"
    )
    assert fault(path, quoting="none").startswith(f"{path}: line 3: has not the header's 2 fields;")
    assert len(pairs(path, quoting="minimal")) == 2


def test_lines_of_a_text_are_no_rows(tmp_path: Path) -> None:
    content = 'text,label\n"one, a, b\ntwo, a\nthree\nfour, a",a\nx,b\n'
    path = put(tmp_path, "r.csv", content)
    assert pairs(path) == [("one, a, b\ntwo, a\nthree\nfour, a", "a"), ("x", "b")]


def test_quote_that_nothing_closes_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoting, "LONGEST_FIELD", 1_000)
    rows = [('"open', "a"), *((f"text {n}", "ab"[n % 2]) for n in range(500))]
    held: list[int] = []
    monkeypatch.setattr(
        quoting,
        "_holding",
        lambda source, lines, holding=quoting._holding: (
            held.append(len(lines)) or line for line in holding(source, lines)
        ),
    )
    assert pairs(put(tmp_path, "r.tsv", plain(rows))) == rows
    assert 10 < max(held) < 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "cp1252", "cp037"])
def test_quotes_in_other_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_bytes(plain(MESSAGES).encode(encoding))
    assert pairs(path, encoding=encoding) == MESSAGES


def test_each_file_of_a_split_decides_for_itself(tmp_path: Path) -> None:
    put(tmp_path, "train_1.tsv", plain(MESSAGES))
    put(tmp_path, "train_2.tsv", written([("a\tb", "ham"), ("c", "spam")], csv.QUOTE_ALL))
    put(tmp_path, "test.tsv", plain([("new", "ham")]))
    found = get(tmp_path)
    assert found.texts("train") == [*(text for text, _ in MESSAGES), "a\tb", "c"]
    assert found.card["quotes_as_text"] == [str(tmp_path / "train_1.tsv")]


def test_zero_characters_and_an_index_column(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", ",text,label\n0,a\0b,x\n1,c,y\n")
    assert pairs(path) == [("a\0b", "x"), ("c", "y")]


# properties

FIELD = st.text(alphabet="ab\",; '\u00e9", max_size=6)
TEXT = st.text(alphabet='ab",; \t\n\r', max_size=8)
LABEL = st.sampled_from(["ham", "spam", "eggs"])
# rows that every reading has: without them a file of one row may be two rows or one
AGREED = [("plain one", "ham"), ("plain two", "spam"), ("plain three", "eggs")]


TEMPORARY = TemporaryDirectory()
FOLDER = Path(TEMPORARY.name)


def outcome(content: str, name: str) -> Rows | str:
    try:
        return pairs(put(FOLDER, name, content))
    except SourceError as error:
        return str(error)


@MANY
@given(st.lists(st.tuples(FIELD, LABEL), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_plain_tsv_comes_back(rows: Rows, end: str) -> None:
    found = outcome(plain(AGREED + rows, end=end), "r.tsv")
    if found != AGREED + rows:
        # a program writes exactly these quotes for other texts; no row may be missing though
        assert isinstance(found, list)
        assert len(found) == len(rows) + len(AGREED)
        quoted = [text for text, _ in rows if text.startswith('"')]
        assert all(text.endswith('"') and len(text) > 1 for text in quoted)
        assert all(set(text[1:-1]) & set('",') for text in quoted)


@MANY
@given(
    st.lists(st.tuples(TEXT, LABEL), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([("\t", "r.tsv"), (",", "r.csv")]),
)
def test_what_csv_writes_comes_back_or_is_refused(
    rows: Rows, style: int, end: str, kind: tuple[str, str]
) -> None:
    delimiter, name = kind
    content = written(AGREED + rows, style, delimiter, end)
    found = outcome(content, name)
    if isinstance(found, str):
        # csv leaves a carriage return without quotes where lines end otherwise
        both = "quoting: none" in found and "quoting: minimal" in found
        assert both or "carriage return stands alone" in found
    else:
        assert found == AGREED + rows


@MANY
@given(
    st.lists(st.tuples(st.text(alphabet='a" ,\n', max_size=6), LABEL), min_size=1, max_size=8),
    st.sampled_from([",", "\t"]),
)
def test_no_reading_loses_rows_in_silence(rows: Rows, delimiter: str) -> None:
    """Written by hand, rightly or not: as many rows as either reading has, or a message."""
    content = plain(AGREED + rows, delimiter)
    name = "r.csv" if delimiter == "," else "r.tsv"
    found = outcome(content, name)
    lines = [line for line in content.split("\n")[1:] if line]
    consistent = all(line.count(delimiter) == 1 for line in lines)
    known = all(line.split(delimiter)[-1] in ("ham", "spam", "eggs") for line in lines)
    if isinstance(found, list) and consistent and known:
        assert len(found) == len(lines)


@MANY
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", " ", "", 'a"', "\u200b", "c c"]),
            st.sampled_from(["x", "y", "", " ", "\u200b"]),
        ),
        max_size=12,
    ),
    st.sampled_from([{}, {"drop_test_duplicates": True}]),
    st.booleans(),
)
def test_rows_read_are_kept_or_dropped(rows: Rows, changed: dict[str, bool], tested: bool) -> None:
    given = [("1", "x"), ("2", "y"), ("3", "x"), ("4", "y"), *rows]
    folder = FOLDER / ("three" if tested else "one")
    folder.mkdir(exist_ok=True)
    put(folder, "train.tsv", plain(given))
    if tested:
        put(folder, "validation.tsv", plain([*rows, ("5", "x")]))
        put(folder, "test.tsv", plain([("7", "y"), *rows, ("6", "x")]))
    with pytest.MonkeyPatch.context() as patch:  # what is written is not looked at
        patch.setattr(tables, "write", lambda path, rows: list(rows))
        patch.setattr(tables, "select", lambda path, mask, to: None)
        card = download.download(dataset(folder, drop_empty=True, **changed), {}, folder)
    expected = {"train": len(given)}
    if tested:
        expected |= {"validation": len(rows) + 1, "test": len(rows) + 2}
    assert card["rows_read"] == expected
    dropped = card["rows_dropped"]
    assert sum(expected.values()) == sum(card["rows"].values()) + sum(dropped.values())
    for split, count in card["rows_read"].items():
        of_it = sum(n for reason, n in dropped.items() if reason.startswith(f"{split}: "))
        both = card["rows"][split] + (card["rows"]["test"] if not tested else 0)
        assert count == both + of_it


def test_a_row_that_goes_without_a_reason_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning.Cleaner, "_drop", lambda *given: None)
    path = put(tmp_path, "r.tsv", plain([("a", "ham"), ("", "spam"), *MESSAGES]))
    with pytest.raises(AssertionError, match="7 train rows were read"):
        get(path, drop_empty=True, test_fraction=0.4)
