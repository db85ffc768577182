"""Labels in CSV files run nowhere: not in the page of `dvc plots show`, not in a spreadsheet."""

import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebench.report import cells, tables

ROOT = Path(__file__).parents[1]
SCRIPT = "</script><script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    "<!--<script>",
    "</SCRIPT ><img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "=HYPERLINK(1)",
    "plain, label",
]


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.names[-1:] == ["script"] and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1 day", "'+1 day"),
        ("-good", "'-good"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("  =1", "'  =1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("'=1", "''=1"),
        ("a;=1", "a;'=1"),
        ("a=1; b-c", "a=1; b-c"),
        ("'tis", "'tis"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("", ""),
        ("a < b </ c", "a < b <\u2060/ c"),
        (SCRIPT, "<\u2060/script><\u2060script>alert(1)<\u2060/script>"),
    ],
)
def test_a_text(cell: str, written: str) -> None:
    assert cells.safe(cell) == written


@pytest.mark.parametrize("cell", [-0.5, 0, -1, 1e-9, None, True])
def test_what_is_no_text_stays(cell: Any) -> None:
    assert cells.safe(cell) is cell


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n '<>/!a1;"), max_size=8))
def test_no_text_is_code(text: str) -> None:
    written = cells.safe(text)
    assert not re.search("<[/!?a-z]", written)
    try:
        float(text)
    except ValueError:
        assert written.lstrip(" ")[:1] not in tuple("=+-@\t\r\n")
    shown = written.replace("\u2060", "")
    assert shown == text or shown.replace("'", "") == text.replace("'", "")


@given(st.lists(st.text(alphabet="=-'a<", max_size=4), min_size=2, max_size=2, unique=True))
def test_two_labels_stay_two(labels: list[str]) -> None:
    assert cells.safe(labels[0]) != cells.safe(labels[1])


def test_tables_are_written_so(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    tables.write(path, [{"=name": SCRIPT, "difference": -0.5}, {"=name": "-a", "other": None}])
    assert path.read_text(encoding="utf-8").splitlines() == [
        "'=name,difference,other",
        "<\u2060/script><\u2060script>alert(1)<\u2060/script>,-0.5,",
        "'-a,,",
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that `dvc plots show` makes of every plot of the project, with hostile labels."""
    folder = tmp_path_factory.mktemp("plots")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (folder / ".dvc" / "plots").symlink_to(ROOT / ".dvc" / "plots")
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    plots = text[text.index("\nplots:") :]
    (folder / "dvc.yaml").write_text(re.sub(r"(?m)^  - metrics/history.*$", "", plots))
    for name, columns in tables.PLOTS.items():
        rows = [dict.fromkeys(columns[:2], label) | {columns[3]: 1} for label in HOSTILE]
        third = [label if name == "confusion" else 2 for label in HOSTILE]
        rows = [row | {columns[2]: value} for row, value in zip(rows, third, strict=True)]
        tables.write(folder / "metrics" / "plots" / f"{name}.csv", rows, columns=columns)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command = [sys.executable, "-m", "dvc", "plots", "show", "-q"]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    return (folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")


def test_plots_hold_no_script_but_dvcs_own(page: str) -> None:
    read = Elements(page)
    libraries, charts = 3, len(tables.PLOTS)
    assert read.names.count("script") == libraries + charts
    assert set(read.names) == {"html", "head", "title", "style", "body", "div", "script"}
    assert "alert" not in read.text
    assert "<!--" not in page  # after it and `<script`, a browser would not see the script's end


def test_labels_look_as_before(page: str) -> None:
    specs = re.findall(r"var spec = (.*);\n", page)
    assert len(specs) == len(tables.PLOTS)
    for spec in map(json.loads, specs):
        panels = {row["panel"].replace("\u2060", "") for row in spec["data"]["values"]}
        assert panels == {label if label[0] != "=" else f"'{label}" for label in HOSTILE}


def test_spreadsheets_read_numbers_and_texts(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.csv", [{"label": label, "n": -1.5} for label in HOSTILE])
    rows = list(csv.DictReader((tmp_path / "t.csv").open(newline="", encoding="utf-8")))
    assert [float(row["n"]) for row in rows] == [-1.5] * len(HOSTILE)
    assert not [row for row in rows if row["label"][0] in "=+-@"]
