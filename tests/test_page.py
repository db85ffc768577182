"""The report page holds up under what no study of ours has: every bad input has its words."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from fake_results import Fake, study

from tunebench import config, paths
from tunebench.report import comparisons, page, published, summary, tables
from tunebench.report.answer import Answer
from tunebench.report.compare import Change, Changes
from tunebench.report.learning import Curve, Doubled, More, Point, Target
from tunebench.report.page import axes, looks

HOSTILE = ["<script>alert(1)</script>", "</script><b>", "__proto__", "<!-- \u2028 'x' \"y\" a.b[c]"]
LONG = "a label of eighty characters that goes on and on until it is eighty characters long"


@pytest.fixture
def make(project: Any, valid: dict[str, Any]) -> Any:
    """Write a study and its results, then the page; the page's text."""

    def made(fake: Fake, changed: dict[str, Any] | None = None, **given: Any) -> str:
        project.write_params(study(valid, **given) | (changed or {}))
        params = config.load()
        fake.write(params)
        records = summary.collect(params)
        built = tables.build(records) | comparisons.build(params, records)
        built |= published.build(params.published, records)
        page.write(paths.PAGE, params, records, built)
        return paths.PAGE.read_text(encoding="utf-8")

    return made


def data_of(text: str) -> Any:
    """The data in a page, as a browser reads it: up to the first end of a script."""
    start = text.index('<script type="application/json" id="data">')
    return json.loads(text[text.index(">", start) + 1 : text.index("</script", start)])


class Outline(HTMLParser):
    """A page's tags, the text of its headings and captions, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.heard: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag in ("h2", "h3", "figcaption"):
            self.open.append(tag)
            self.heard.append("")

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.heard[-1] += data


def outline(text: str) -> Outline:
    parsed = Outline()
    parsed.feed(text)
    assert len(parsed.ids) == len(set(parsed.ids))
    return parsed


def charts_of(text: str) -> list[str]:
    return [figure["id"] for figure in data_of(text)["figures"]]


def test_page_has_its_sections_in_order(make: Any) -> None:
    text = make(Fake(rows=40), datasets=2)
    found = [heading for heading in outline(text).heard if heading in dict(SECTIONS)]
    assert found == [heading for heading, _ in SECTIONS]
    names = [name.partition("-")[0] for name in charts_of(text)]
    assert set(names) == {"ranking", "cost", "learning", "pairs", "errors", "throughput",
                          "utilization", "volume"}  # fmt: skip
    assert all(names.count(name) == 2 for name in set(names))
    assert text.count('class="marks"') == 2 * 8 + 2 * 2  # pictures, with confusion and reliability


SECTIONS = [
    ("The answer", "answer"), ("Ranking", "ranking"), ("What do you need?", "needs"),
    ("Quality against cost", "cost"), ("Would more rows help?", "learning"),
    ("Cost against volume", "volume"), ("Pairs of methods", "pairs"),
    ("Where it fails", "failures"), ("Inference", "inference"), ("How it was made", "made"),
]  # fmt: skip


def test_hostile_labels_and_texts_are_inert(make: Any) -> None:
    texts = [f"{label} {index}" for index, label in enumerate(HOSTILE)]
    text = make(Fake(labels=HOSTILE, rows=40, texts=texts), {"study": HOSTILE[0]})
    assert outline(text).tags.count("script") == 3
    data = data_of(text)
    (rows,) = data["rows"].values()
    assert {row["gold"] for row in rows["rows"]} == set(HOSTILE)
    assert {row["text"] for row in rows["rows"]} >= {f"Text: {each}" for each in texts}
    confused = [detail["confusion"]["labels"] for detail in data["details"].values()]
    assert len(confused) == 5
    drawn = {label.removeprefix("\u2060") for labels in confused for label in labels}
    assert drawn == set(HOSTILE)
    raw = text.partition('id="data">')[2].partition("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", raw)


def test_one_method_and_one_size(make: Any) -> None:
    text = make(Fake(), prompting=0, tuning=1, sizes=(100,))
    assert "learning-data_0" in charts_of(text)
    assert "One size only, 100 rows" in text
    assert "pairs-data_0" not in charts_of(text)
    assert "There are no two methods with scores" in text


def test_prompting_alone_has_no_learning_curve(make: Any) -> None:
    text = make(Fake(rows=40), prompting=2, tuning=0, sizes=())
    assert "No tuned run has a score" in text
    assert {"ranking-data_0", "pairs-data_0"} <= set(charts_of(text))


def test_all_runs_failed(make: Any) -> None:
    text = make(Fake(failed={"shots_0", "lora_0", "lora_1"}))
    assert "No run has a score" in text
    assert charts_of(text) == []
    assert text.count("out of memory at 23.4 GB") >= 5


def test_failed_run_stands_in_the_table_and_in_no_chart(make: Any) -> None:
    text = make(Fake(rows=40, failed={"lora_1"}))
    data = data_of(text)
    failed = {run["id"] for run in data["runs"] if run["method"] == "lora_1"}
    assert len(failed) == 2
    drawn = {row["run"] for figure in data["figures"] for row in figure["rows"]}
    assert drawn and not drawn & failed
    assert "out of memory at 23.4 GB</td>" in text


def test_one_label_in_the_test_rows(make: Any) -> None:
    text = make(Fake(labels=["only"]))
    (labels,) = {
        tuple(detail["confusion"]["labels"]) for detail in data_of(text)["details"].values()
    }
    assert labels == ("only",)
    assert "errs on none of 8 test rows" in text


def test_two_models_have_their_names_in_labels(make: Any) -> None:
    data = data_of(make(Fake(rows=40), models=2))
    labels = [run["label"] for run in data["runs"]]
    assert len(set(labels)) == len(labels) == 10
    assert "model_1: lora_0, 1,000 rows" in labels
    groups = next(each["groups"] for each in data["figures"] if each["chart"] == "pairs")
    assert next(iter(groups)) == "model_1: 1,000 rows" and len(groups) == 4


def test_no_rows_puts_no_text_on_the_page(make: Any) -> None:
    secret = "the secret of the test row"
    fake = Fake(rows=40, texts=[secret] * 40)
    assert secret in make(fake)
    assert secret not in make(fake, {"report": {"rows": 0}})


def test_rows_are_at_most_as_many_as_params_say(make: Any) -> None:
    data = data_of(make(Fake(rows=60), {"report": {"rows": 25}}))
    (rows,) = data["rows"].values()
    assert (len(rows["rows"]), rows["total"]) == (25, 60)
    assert {len(answers) for answers in rows["answers"].values()} == {25}


def test_no_price_offers_no_dollars(make: Any) -> None:
    text = make(Fake(rows=40), usd_per_hour=0.0)
    assert "$" not in text.partition("<script")[0]
    data = data_of(text)
    names = {axis["name"] for axis in data["axes"]["data_0"]}
    assert not names & {axis.name for axis in axes.AXES if axis.priced}
    assert "s_per_1k_requests" in names
    assert "total time of the machine, s" in {
        figure["values"].get("y_title") for figure in data["figures"]
    }


def test_many_labels_show_the_most_confused(make: Any) -> None:
    labels = [f"{LONG} {index}" for index in range(75)] + ["תווית ארוכה", "علامة"]
    data = data_of(make(Fake(labels=labels, rows=400)))
    for detail in data["details"].values():
        shown = detail["confusion"]
        assert (len(shown["labels"]), shown["left_out"]) == (12, 65)
        assert len(detail["labels"]) == 77


def test_forty_methods_differ_in_colour_or_shape(make: Any) -> None:
    text = make(Fake(rows=40), prompting=2, tuning=38, sizes=(100,))
    assert len(data_of(text)["runs"]) == 40
    seen = {(look.colour, look.shape) for look in looks.of([f"m{n}" for n in range(56)]).values()}
    assert len(seen) == 56


def test_summaries(make: Any) -> None:
    text = make(Fake(labels=(), rows=40), task="summarization")
    assert "summaries share less than a quarter" in text
    data = data_of(text)
    assert all(detail["confusion"] is None for detail in data["details"].values())
    assert {"cost", "errors", "ranking"} <= {name.partition("-")[0] for name in charts_of(text)}


def test_published_stands_in_rows_and_columns_of_its_source(make: Any) -> None:
    place = {"model": "model_0", "dataset": "data_0"}
    given = {
        "source": "A Paper",
        "results": [
            {**place, "method": "shots_0", "accuracy": 0.111, "macro_f1": 0.2},
            {**place, "method": "lora_0", "train_size": 1000, "accuracy": 0.999},
        ],
    }
    text = make(Fake(rows=40), {"published": given})
    (section,) = re.findall(r'<section id="published".*?</section>', text, re.DOTALL)
    assert [row.count("<td") for row in re.findall(r"<tr><th scope=\"row\".*?</tr>", section)] == [
        6,
        6,
    ]
    assert section.index("11.10") < section.index("99.90")
    learned = next(each for each in data_of(text)["figures"] if each["chart"] == "learning")
    assert [row["score"] for row in learned["rows"] if row["kind"] == "published"] == [11.1, 99.9]


def test_parts_of_other_modules_have_their_places(project: Any, valid: dict[str, Any]) -> None:
    project.write_params(study(valid))
    params = config.load()
    Fake(rows=40).write(params)
    place = {"model": "model_0", "dataset": "data_0", "method": "lora_0"}
    line = tuple(Point(rows, 0.6, 0.5, 0.7) for rows in (100, 4000))
    more = More(1000, 9.0, 50.0, None)
    curve = Curve(
        **place, metric="accuracy", seeds=1, optimistic=False, points=[], step=None, note="",
        line=line, doubled=Doubled(2000, 0.02, 0.01, 0.031, more),
        targets=(Target(0.9, 1500.0, 1200.0, None, more),),
    )  # fmt: skip
    change = Change("a run", "accuracy", 0.5, 0.6, "within noise", 0.1)
    changes = Changes("v1", "now", [], [change], [], [], 0.05)
    answer = Answer("data_0", "", ["It is <b>enough</b>."])
    parts = page.Parts([answer], [curve], changes=changes)
    page.write(paths.PAGE, params, summary.collect(params), {}, parts=parts)
    text = paths.PAGE.read_text(encoding="utf-8")
    assert "<p>It is &lt;b&gt;enough&lt;/b&gt;.</p>" in text
    assert "<td>2.0 (1.0 to 3.1)</td>" in text
    assert "1,000 labels ($50), training (9 s)" in text
    assert "90%: 1,500 (1,200 or more)" in text
    assert "What changed from v1 to now" in text and "within noise" in text
    learned = next(each for each in data_of(text)["figures"] if each["chart"] == "learning")
    assert [row["rows"] for row in learned["rows"] if row["kind"] == "fitted"] == [100, 4000]
