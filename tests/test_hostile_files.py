"""Files that are no files of rows: one line each, without a traceback, a hang, or a great cost."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from projects import environment
from toys import dataset, fault, get, read, write_csv, write_parquet

from tunebench.data.sources import decoding, delimited, source_of
from tunebench.errors import SourceError

ROWS = [{"text": f"t{n}", "label": "ab"[n % 2]} for n in range(40)]
GOOD = "text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(40))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", gzip.compress(GOOD.encode()), "is compressed with gzip, not text; decompress it"),
        ("r.jsonl", b"PK\x03\x04\x14\0", "is a ZIP archive or a spreadsheet, not text; unpack it"),
        ("r.csv", b"\xd0\xcf\x11\xe0", "is a spreadsheet of Excel, not text; export it as CSV"),
        ("r.tsv", b"PAR1\x15\x04", "is Parquet, not text; name it .parquet"),
        ("r.parquet", GOOD.encode(), "is not Parquet: "),
        ("r.json", b"[" * 100_000, "is nested too deep; write each row as {…} with texts in it"),
        ("r.jsonl", b'{"text": "a", "label": "b"}\n' + b'{"a":' * 100_000 + b"\n",
         "line 2: is nested too deep;"),
        ("r.json", b"[" + b"9" * 5_000 + b"]", "holds a number of more than 4300 digits; write it"),
        ("r.jsonl", b'{"text": ' + b"9" * 5_000 + b"}\n",
         "line 1: holds a number of more than 4300 digits; write it as a text, in quotes"),
    ],
)  # fmt: skip
def test_content_of_another_kind(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert fault(path).startswith(f"{path}: {message}")


def test_column_named_as_a_file_begins(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", "t,a", header="PAR1,label")
    assert read(path, columns={"text": "PAR1", "label": "label"})[0][1]["PAR1"] == "t"


def test_names_of_columns_stay_in_one_short_line(tmp_path: Path) -> None:
    names = ['"two\nlines"', "x" * 5_000, *(f"c{n}" for n in range(20_000))]
    path = write_csv(tmp_path / "r.csv", ",".join("v" for _ in names), header=",".join(names))
    message = fault(path)
    assert message.startswith(f"{path}: line 3: there is no column 'text'; choose from: c0, c1, ")
    assert message.endswith(" and 19902 more")
    assert "\n" not in message
    assert len(message) < 2_000


def test_many_columns_take_linear_time(tmp_path: Path) -> None:
    def seconds(columns: int) -> float:
        header = ",".join(["text", "label", *(f"c{n}" for n in range(columns))])
        path = write_csv(tmp_path / f"{columns}.csv", "t,a" + ",v" * columns, header=header)
        started = time.process_time()
        assert len(read(path)) == 1
        return time.process_time() - started

    seconds(100)
    few = min(seconds(20_000) for _ in range(3))
    assert seconds(160_000) < 24 * few  # 64 times if quadratic


@pytest.mark.parametrize(("limit", "message"), [
    (100, "line 2: is longer than 100 characters; end each row with a line feed"),
    (2_000_000, None),
])  # fmt: skip
def test_a_line_has_a_limit(
    limit: int, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", 64)
    monkeypatch.setattr(decoding, "LONGEST_LINE", limit)
    path = write_csv(tmp_path / "r.csv", "x" * 500 + ",a", "y,b")
    if message is None:
        assert len(read(path)) == 2
    else:
        assert fault(path) == f"{path}: {message}"


def test_a_quote_that_never_ends_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1_000)
    path = write_csv(tmp_path / "r.csv", '"t,a', *["u,b"] * 1_000)
    message = fault(path, quoting="minimal")
    assert message.startswith(f"{path}: line 2")
    assert "field larger than field limit (1000); mend the quotes" in message


def place(folder: Path, kind: str) -> tuple[Path, str]:
    """Something at a path that is no file of rows, and the fault of it."""
    path = folder / "r.csv"
    match kind:
        case "folder":
            path.mkdir()
            return path, f"path: {path} holds no data files (.csv, .json, .jsonl, .parquet, .tsv)"
        case "pipe":
            os.mkfifo(path)
            return path, f"path: {path} is a pipe or a device; save its rows as a file, and"
        case "circle":
            path.symlink_to(path)
            return path, f"path: {path} is a link to {path}, which is not there; mend or remove it"
        case "loose link":
            path.symlink_to("gone.csv")
            return path, f"path: {path} is a link to gone.csv, which is not there; mend or remove"
        case "part":
            write_csv(folder / "train-1.csv", "t,a")
            (folder / "train-2.csv").symlink_to("gone.csv")
            return folder, f"path: {folder / 'train-2.csv'} is a link to gone.csv, which is not"
        case "long name":
            path = folder / ("x" * 300 + ".csv")
            return path, f"path: {path}: cannot be read: File name too long; mend its"
        case _:  # opens, and then fails
            path.symlink_to("/proc/self/mem")
            return path, f"path: {path}: cannot be read: Input/output error; mend its permissions"


@pytest.mark.parametrize(
    "kind", ["folder", "pipe", "circle", "loose link", "part", "long name", "unreadable"]
)
def test_place_without_a_file(kind: str, tmp_path: Path) -> None:
    path, message = place(tmp_path, kind)
    with pytest.raises(SourceError) as caught:
        source_of(dataset(path)).fingerprint(dataset(path))
    assert str(caught.value).startswith(message)


def test_file_without_permission(tmp_path: Path) -> None:
    code = (
        "from toys import dataset\nfrom tunebench.data.sources import source_of\n"
        "import sys\nfor name in sys.argv[1:]:\n"
        "    try: list(source_of(dataset(name)).open_rows(dataset(name)).splits['train'])\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    paths = [write_csv(tmp_path / "r.csv", "t,a"), write_parquet(tmp_path / "r.parquet", ROWS)]
    for path in paths:
        path.chmod(0)
    environ = environment()
    environ["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    command = [sys.executable, "-c", code, *map(str, paths)]
    if os.geteuid() == 0:  # who may read anything, unless that is taken away
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"SourceError {path}: cannot be read: Permission denied; mend its permissions, or name"
        " another file"
        for path in paths
    ]


def flipped(content: bytes, at: int, chance: Random) -> bytes:
    return content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :]


def test_parquet_with_flipped_bytes(tmp_path: Path) -> None:
    path, chance = tmp_path / "r.parquet", Random(0)
    columns = [[row[name] for row in ROWS] for name in ("text", "label")]
    table = pa.table([*columns, [0] * 40], names=["text", "label", "day"])
    pq.write_table(table.set_column(2, "day", table["day"].cast(pa.timestamp("s"))), path)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 3):  # header, pages, footer
        path.write_bytes(flipped(content, at, chance))
        try:
            get(path, columns={"text": "text", "label": "label", "day": "day"})
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)
            if str(error).startswith(f"{path}: is "):
                assert str(error).endswith("copy it again from where it came, or write it anew")
    assert refused > len(content) // 6


def test_parquet_checksums_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"t17", b"u17", 1))
    assert "is damaged: " in fault(path)


def test_metadata_nested_too_deep_names_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table.replace_schema_metadata({b"huggingface": b"[" * 100_000}), path)
    assert get(path).card["labels"] == ["a", "b"]


def generator(body: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    name = f"rows_{abs(hash(body))}"
    (folder / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(folder)
    changed = {"generator": name, "rows": {"train": 4, "test": 2}}
    with pytest.raises(SourceError) as caught:
        get(None, **changed)
    return str(caught.value).replace(name, "NAME")


HEAD = "def generate(rows, *, seed):\n    "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import nothing_of_that_name", "generator: NAME: its import failed: ModuleNotFoundError:"),
        ("x = 1", "generator: NAME has no function generate(rows, *, seed)"),
        (HEAD + "yield {}['text']",
         "generator: NAME: generate(4, seed=0) failed: KeyError: 'text' (NAME.py, line 2)"),
        (HEAD + "return 7", "generator: NAME: generate(4, seed=0) failed: TypeError: 'int' object"),
        (HEAD + "yield 'text'", "NAME row 0 of train: is no mapping of column to value"),
        (HEAD + "while True: yield {'text': 'a', 'label': 'b'}",
         "NAME row 4 of train: is one more than the 4 asked for; stop there"),
        (HEAD + "yield {'text': 10 ** 5_000, 'label': 'b'}",
         "NAME row 0 of train: 'text' holds a number of more than 4300 digits; write it as a text"),
    ],
)  # fmt: skip
def test_generator_that_fails(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generator(body, monkeypatch, tmp_path).startswith(message)


def test_json_in_one_line_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LONGEST_LINE", 100)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(ROWS))
    assert len(read(path)) == 40
