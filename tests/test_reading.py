"""Labels in what a model wrote: what makes no difference, and all that does."""

import re
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from unicodedata import category, normalize

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.metrics import match

many = settings(max_examples=1000, deadline=None)


@pytest.mark.parametrize(
    ("label", "texts"),
    [
        ("Sci-Fi", ["sci fi", "SCI_FI", "sci.fi", "Sci/Fi", "sci - fi", "Sci–Fi", "“Sci-Fi”."]),
        ("positive", ["**Positive**", "- positive", "* positive", "## Positive", "> positive"]),
        ("positive", ["`positive`", "_positive_", "**positive", "(positive)", "[Positive]."]),
        ("positive", ["«positive»", "„positive“", "¡positive!", "'positive',", "Positive!!!"]),
        ("positive", ["ＰＯＳＩＴＩＶＥ", "posi\u00adtive", "positive\u200b", "• “Positive”"]),
        ("positive", ["Positive\nbecause", "\n\n Positive"]),
        ("very  good", ["very good", "Very\u00a0Good", "very\tgood"]),
        ("don't know", ["Don’t know."]),
        ("Straße", ["STRASSE"]),
        ("été", ["e\u0301te\u0301", "ÉTÉ."]),
        ("积极", ["积极。", "「积极」", "《积极》！"]),
        ("सकारात्मक", ["सकारात्मक।", "**सकारात्मक**"]),
        ("إيجابي", ["إيجابي؟", "إيجابي،"]),
        ("👍", ["👍.", "**👍**"]),
        ("❤️", ["❤", "❤️!"]),
        ("C++", ["c++.", "`C++`"]),
        ("A+", ["a+.", "**A+**"]),
        ("A*", ["**A***", "a*."]),
        ("50%", ["50%.", "５０％"]),
        (">50K", [">50k.", "**>50K**"]),
        ("1", ["1.", "1.0", "+1", "01", "**1**", "(1)", "1)", "１", "١", "1,", "1:"]),
        ("-1", ["-1.", "−1", "–1", "-1.0", "**-1**", "－1", "-01"]),
        ("0.5", ["0.5.", ".5", "+.50", "**.5**"]),
        ("1/2", ["1/2.", "(1/2)"]),
    ],
)  # fmt: skip
def test_label_is_read_in(label: str, texts: list[str]) -> None:
    others = ["other", "7"]
    assert {text: match(text, [label, *others]) for text in texts} == dict.fromkeys(
        texts, (label, False)
    )


@pytest.mark.parametrize(
    ("label", "texts"),
    [
        ("2", ["-2", "−2", "–2", "- 2", "—2", "2-", "2%", "$2", "#2", "<2", "±2", "/2", ",2"]),
        ("2", ["2²", "²", "②", "½", "2️⃣", "2 2", "2.5", "1/2", "2nd", "&2", "..2", "…2", ".2"]),
        ("12", ["1/2", "1,2", "1.2", "1:2", "1 2", "1-2", "1_2", "1'2", "1\u00a02"]),
        ("12", ["1²", "1½", "①②"]),
        ("05", ["0.5", "0,5", ".05", "-5"]),
        ("5", ["...5", "5²", "٫5"]),
        ("1", ["-1.", "-1", "(-1)", "“-1”", "1.1"]),
        ("C", ["C++", "C#", "C+", "C-", "C*", "C&", "©", "c c"]),
        ("A", ["A-", "A+", "A -", "A+.", "**A-**", "A*", "B", "A/B"]),
        ("AB", ["A/B", "A B", "A-B", "A.B."]),
        ("a b", ["A- B", "a & b", "a+b", "a, b", "a -b"]),
        ("का", ["की", "क", "कि", "कां"]),
        ("كتب", ["كُتب", "كتاب"]),
        ("e", ["é", "e\u0301"]),
        ("👍", ["👎", "👍🏽", "👍👍"]),
        ("🏴", ["🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"]),
        ("positive", ["positives", "not positive", "positive negative", "+positive", "-positive",
                      "", " ", "...", "**", "“”", "\nx\npositive"]),
        ("...", ["!", "…", ".", ""]),
    ],
)  # fmt: skip
def test_label_is_not_read_in(label: str, texts: list[str]) -> None:
    assert {text: match(text, [label, "other"]) for text in texts} == dict.fromkeys(
        texts, (None, False)
    )


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("C.", ["c", "C"], None),
        ("sci fi", ["sci-fi", "sci/fi"], None),
        ("01", ["1", "1.0"], None),
        ("1.0.", ["1", "1.0"], "1.0"),  # written so, though the values are alike
        ("1.", ["1", "01", "1.0"], "1"),
        ("1", ["+1", "-1"], "+1"),
        ("007.", ["7", "007"], "007"),
        ("A.", ["A", "A*", "A+"], "A"),
        ("yes!", ["yes", "Yes!"], None),
    ],
)
def test_what_could_be_two_labels_is_none(
    text: str, labels: list[str], expected: str | None
) -> None:
    assert match(text, labels) == (expected, False)


@many
@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_each_label_reads_as_itself(labels: list[str]) -> None:
    for label in labels:
        assert match(label, labels) == (label, True)


# letters and marks of several scripts, digits, symbols, and what is written around them
SIGNS = "aBcCé\u030112०%#$+-−*_./,:;!?'\"()[] \n²½👍👎काी的\u200b"
texts = st.text(st.sampled_from(SIGNS), min_size=1, max_size=8)
some_labels = st.lists(
    texts.map(lambda text: text.replace("\n", " ")), min_size=1, max_size=6, unique=True
)


def told_apart(text: str) -> str:
    """Letters, marks, digits, signs and symbols: what no reading may drop."""
    line = normalize("NFC", text.strip().split("\n")[0].casefold())
    line = line.replace("−", "-").replace("०", "0").replace("\u200b", "")  # which no one sees
    line = regex.sub(r"^([\W_]*?)([+-]\s+)+(?=[\W_]*\p{L})", r"\1", line)  # a bullet
    line = regex.sub(r"(?<=[\p{L}\p{M}]) ?- ?(?=\p{L})", "", line)  # a hyphen of words
    return "".join(each for each in line if category(each)[0] in "LMNS" or each in "%#-")


AROUND = r"[\s.,:;!?'\"“”()\[\]*_`\u200b]*"


def number(text: str) -> Decimal | None:
    line = text.strip().split("\n")[0].replace("−", "-")
    if found := re.fullmatch(rf"{AROUND}?([+-]?[.,]*\d[\d.]*){AROUND}", line):
        with suppress(InvalidOperation):
            return Decimal(found[1])
    return None


@many
@given(texts, some_labels)
def test_no_letter_mark_digit_or_symbol_is_dropped(text: str, labels: list[str]) -> None:
    for variant in (text, f"“{labels[0]}”.", labels[0].replace("-", ""), f"{labels[-1]}-"):
        label, strict = match(variant, labels)
        if label is None or strict:
            continue
        read = {number(variant), number(label)}
        assert told_apart(variant) == told_apart(label) or (len(read) == 1 and None not in read)


@settings(max_examples=200, deadline=None)
@given(texts, some_labels)
def test_order_of_the_labels_tells_nothing(text: str, labels: list[str]) -> None:
    assert match(text, labels) == match(text, labels[::-1])


numbers = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "-", "+", "−"]),
    st.sampled_from(["", "0"]),
    st.integers(0, 30),
    st.sampled_from(["", "", ".0", ".5", ".50", ".05"]),
)
around = st.sampled_from(["{}", "{}.", "“{}”", "**{}**", "({})", " {}!", "`{}`\nand more", "_{}_,"])


@many
@given(numbers, around, st.lists(numbers, min_size=1, max_size=8, unique=True))
def test_a_number_reads_as_the_label_of_its_value_or_none(
    written: str, around: str, labels: list[str]
) -> None:
    label, _ = match(around.format(written), labels)
    alike = [each for each in labels if number(each) == number(written)]
    assert label is None or label in alike
    if len(alike) == 1:
        assert label == alike[0]
    if written in labels:
        assert label in (written, None)


names = st.lists(
    st.text(st.sampled_from("abcxyzäñωжשج的か한"), min_size=1, max_size=4), min_size=1, max_size=3
)
separators = st.sampled_from([" ", "-", "_", ".", "/", " - ", "  "])


@many
@given(st.lists(names, min_size=1, max_size=5), separators, separators, around)
def test_harmless_dress_changes_no_reading(
    parts: list[list[str]], written: str, answered: str, around: str
) -> None:
    labels = list(dict.fromkeys(written.join(each) for each in parts))
    for each in parts:
        text = around.format(answered.join(each).upper())
        label, _ = match(text, labels)
        assert label in (written.join(each), None)
        alike = {" ".join(other) for other in parts if other != each}
        if " ".join(each) not in alike:
            assert label == written.join(each)
