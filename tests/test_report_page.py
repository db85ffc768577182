"""The tables on the report page: cells, intervals, names that are escaped."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from reported import markup, written

from tunebench.config.schema import Params
from tunebench.report import (
    digits,
    page,
    summary,
    tables,
)


@pytest.fixture
def params(project: Any, valid: dict[str, Any]) -> Params:
    """A grid of two seeds and two sizes, and its results."""
    return written(project, valid)


class Cells(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "bdi", "title") and data.strip():
            self.texts.append(data)


def test_page_shows_the_tables_and_escapes_names(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = Cells()
    parsed.feed(text)
    assert parsed.tags.count("script") == 3  # data, the charts' library, the page's own
    assert "<script>alert(1)</script>" in parsed.texts
    assert "a &amp; b" in text
    assert {"75.0", "80.0", "20 ms", "$0.005"} <= set(parsed.texts)


def test_page_loads_nothing(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    sources = re.findall(
        r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]*)""", markup(tmp_path / "page.html")
    )
    assert len(sources) >= 10
    assert all(source.startswith(("#", "data:text/csv;base64,")) for source in sources)
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (0.8125, "accuracy", "81.2"),
        (0.5, "rouge1", "50.0"),
        (3_145_728, "adapter_bytes", "3.15 MB"),
        (2_500_000_000, "peak_memory_bytes", "2.5 GB"),
        (0.0123, "latency_p50_s", "12.3 ms"),
        (3.887, "train_s", "3.89 s"),
        (12350.0, "tokens_per_s", "12,350"),
        (7.25, "tokens_per_s", "7.25"),
        (8_312, "adapter_bytes", "8.31 kB"),
        (0.0, "usd_to_train", "$0"),
        (12345.6, "usd_at_10m", "$12,346"),
        (1_148_032, "trainable_parameters", "1,148,032"),
        ("lora", "method", "lora"),
        (None, "loss", ""),
        (0, "train_rows", "0"),
        (0.04159, "forgetting", "+0.042"),
        (-0.0104, "forgetting", "-0.010"),
    ],
)
def test_cell(value: Any, column: str, text: str) -> None:
    assert digits.cell(value, column) == text


def test_interval_stands_in_the_cell_of_its_metric(params: Params, tmp_path: Path) -> None:
    records = summary.collect(params)
    page.write(tmp_path / "page.html", params, records, tables.build(records))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<td>50.0<span class="interval">47.0–53.0</span></td>' in text
    columns = re.findall(r">([^<>]+)</button></th>", text)
    assert columns.count("accuracy stdev") == 1
    assert "accuracy low" not in columns
