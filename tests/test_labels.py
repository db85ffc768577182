"""Labels that are surely the same are one; those that only read alike are named, never guessed."""

import json
import string
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import dataset, fault, get, write_csv, write_parquet

from tunebench.data import download
from tunebench.data.cleaning import Cleaner, SplitIndex
from tunebench.data.sources.spelling import look_alikes, normal, tidy
from tunebench.errors import SourceError

MANY = settings(max_examples=1_000, deadline=None, database=None)


def write_labels(path: Path, *labels: Any, start: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"text": f"t{start + n}", "label": label} for n, label in enumerate(labels)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "spellings",
    [
        ("café", "cafe\u0301"),
        ("not spam", " not  spam", "not\u00a0spam ", "not\u3000spam", "not\u2009\tspam\n"),
        ("spam", "sp\u200bam", "\ufeffspam", "spam\u2060", "sp\u00adam", "\u200espam\u200f"),
        ("spam", "\u202aspam\u202c", "\u2067spam\u2069", "sp\u200cam", "spam\u200d"),
        ("می\u200cخواهم", "می\u200cخواهم ", "\u200bمی\u200cخواهم\u200d"),
        ("1", "1.0", "1.", 1, 1.0, "1.000"),
        ("-2", -2, -2.0, "-2.0"),
        ("0", 0, -0.0, "-0.0"),
        ("true", True),
        ("e\u0301te", "\u00e9te", "e\u200b\u0301te"),
    ],
)
def test_surely_the_same(spellings: tuple[Any, ...], tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    write_labels(folder / "train.jsonl", *spellings, "other")
    write_labels(folder / "test.jsonl", *reversed(spellings), start=100)
    write_labels(folder / "validation.jsonl", spellings[-1], start=200)
    found = get(folder)
    name = normal(str(spellings[0]))
    assert found.card["labels"] == sorted([name, "other"])
    # a boolean and the text of its name are written alike; so are 1 and "1"
    written = {str(label).lower() for label in spellings}
    listed = found.card["label_spellings"]
    assert len(listed.get(name, [0])) == len(written)
    if listed:
        assert sum(listed[name].values()) == 2 * len(spellings) + 1
    assert {row["text"] for row in found.splits["train"]} == {
        f"t{n}" for n in range(len(spellings) + 1)
    }


@pytest.mark.parametrize(
    "labels",
    [
        ("C", "C++", "C#"),
        ("A", "A-", "A+"),
        ("+1", "1", "-1"),
        ("0.5", "5", ".5"),
        ("01", "1"),
        ("1.10", "1.1", "1.2"),
        ("spam", "not spam"),
        ("की", "कि", "का", "क"),
        ("มี", "มา", "มัว", "มือ"),
        ("👨\u200d👩", "👨👩"),
        (":)", ":(", ";)", ":D", ";D"),
        ("!spam", "spam"),
        ("?", "!"),
        ("1-2", "12", "1 2"),
        ("5'", '5"', "5"),
        ("café", "cafe"),
        ("10", "1", "100"),
        ("да", "нет"),
        ("は", "ば", "ぱ"),
        (0.5, 1.5),
    ],
)
def test_labels_of_their_own(labels: tuple[Any, ...], tmp_path: Path) -> None:
    found = get(write_labels(tmp_path / "r.jsonl", *labels * 4), test_fraction=0.25)
    assert len(found.card["labels"]) == len(labels)
    assert found.card["label_spellings"] == {}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Spam", "spam"),
        ("ｓｐａｍ", "spam"),
        ("not-spam", "not_spam"),
        ("not spam", "not-spam"),
        ("CreditCard", "credit_card"),
        ("class 1", "class_1"),
        ("spam.", "spam"),
        ("“spam”", "spam"),
        ("'spam'.", "spam"),
        ("don’t", "don't"),
        ("Straße", "STRASSE"),
        ("Нет", "нет"),
        ("−1", "-1"),
        ("❤\ufe0f", "❤"),
        ("True", "true"),
        ("ﬁne", "fine"),
        ("spam\x00", "spam"),
        ("می\u200cخواهم", "میخواهم"),
        ("की.", "की"),
    ],
)
def test_read_alike(first: str, second: str, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    write_labels(folder / "train.jsonl", first, "other", first)
    write_labels(folder / "test.jsonl", second, start=100)  # which training never has
    message = fault(folder)
    assert message.startswith("labels of 'label' read alike: ")
    assert "(2 rows) and " in message
    assert "(1 rows); if they are the same, mend the rows, or give each label" in message
    assert message.endswith(
        "label_names, these the same; if they are not, write labels: as_written"
    )
    names = {first: "one", second: "one", "other": "two"}
    assert get(folder, label_names=names).card["labels"] == ["one", "two"]
    write_labels(folder / "train.jsonl", first, second)
    assert get(folder, labels="as_written").card["labels"] == sorted([first, second])


def test_letters_of_another_script_are_escaped(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "r.jsonl", *["spam"] * 5, "sp\u0430m", "\u0412", "B", "ham")
    assert fault(path).startswith(
        "labels of 'label' read alike: 'spam' (5 rows) and 'sp\\u0430m' (1 rows);"
        " '\\u0412' (1 rows) and 'B' (1 rows); if"
    )


def test_what_was_unified_is_said(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "r.jsonl", *["spam", "spam ", "sp\u200bam", "ham"] * 3)
    found = get(path)
    spellings = {"spam": {"spam": 3, "spam ": 3, "sp\u200bam": 3}}
    assert found.card["label_spellings"] == spellings
    assert download.note(found.card) == (
        "1 labels are written in several ways and were unified, as 'spam': 'spam', 'spam ',"
        " 'sp\\u200bam'"
    )


def test_numbers_are_named_as_integers_and_texts_as_they_are_written(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": float(n % 2)} for n in range(8)]
    assert get(write_parquet(tmp_path / "r.parquet", rows)).card["labels"] == ["0", "1"]
    path = write_labels(tmp_path / "r.jsonl", *["1.0", "1.5", "2.0"] * 3)
    assert get(path).card["labels"] == ["1.0", "1.5", "2.0"]
    path = write_labels(tmp_path / "r.jsonl", *[True, False] * 3)
    assert get(path).card["labels"] == ["false", "true"]
    path = write_labels(tmp_path / "r.jsonl", *[True, 1, False, 0] * 3)
    assert get(path).card["labels"] == ["0", "1", "false", "true"]


@pytest.mark.parametrize("changed", [{}, {"labels": "as_written"}])
def test_label_of_which_nothing_is_seen_is_empty(changed: Any, tmp_path: Path) -> None:
    path = write_labels(tmp_path / "r.jsonl", *"xy" * 4, "\u200b\ufeff", " \u2060 ")
    assert fault(path, **changed).startswith(f"{path}: line 9: 'label' is empty; fill it in")
    found = get(path, drop_empty=True, **changed)
    assert found.card["rows_dropped"] == {"train: label empty": 2}
    assert found.card["labels"] == ["x", "y"]


def test_texts_stay_as_they_are(tmp_path: Path) -> None:
    text = " e\u0301\u200b  \u00a0Spam 1.0 "
    path = tmp_path / "train.jsonl"
    rows = [{"text": text + str(n), "label": "xy"[n % 2], "more": text} for n in range(6)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = get(path, columns={"text": "text", "label": "label", "further": "more"})
    assert sorted(found.targets()) == sorted(row["text"] for row in rows)
    assert {row["further"] for row in found.splits["train"]} == {text}


def test_as_written_leaves_all_but_white_space_around(tmp_path: Path) -> None:
    labels = ["x  y", "x y", " x y", "1.0", "1", "X y", True, "true"]
    found = get(write_labels(tmp_path / "r.jsonl", *labels * 3), labels="as_written")
    assert found.card["labels"] == ["1", "1.0", "X y", "true", "x  y", "x y"]
    assert found.card["label_spellings"] == {"x y": {" x y": 3, "x y": 3}}


def test_names_are_looked_up_exactly_first_and_then_by_form(tmp_path: Path) -> None:
    labels = ["spam", "sp\u200bam", " ham", "1.0", "TRUE", "ham\u00a0"]
    path = write_labels(tmp_path / "r.jsonl", *labels * 3)
    names = {"spam ": "bad", "ham": "good", 1: "one", "True": "yes"}
    found = get(path, label_names=names)
    assert found.card["labels"] == ["bad", "good", "one", "yes"]
    assert found.card["label_spellings"] == {
        "bad": {"spam": 3, "sp\u200bam": 3},
        "good": {" ham": 3, "ham\u00a0": 3},
    }
    path = write_labels(tmp_path / "r.jsonl", *["bad", " good", "sp\u200bam", "Spam"] * 3)
    assert fault(path, label_names=names) == (
        f"{path}: line 4: label 'Spam' has no label_names; did you mean 'spam '?"
    )


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"spam": "a", "spam ": "b", "ham": "c"}, "'spam' and 'spam ' are one label"),
        ({1: "a", "1.0": "b"}, "1 and '1.0' are one label"),
        ({1: "a", "1": "b"}, "1 and '1' are one label"),
    ],
)
def test_two_keys_of_one_label(names: Any, what: str, tmp_path: Path) -> None:
    path = write_labels(tmp_path / "r.jsonl", *["1", "1.0"] * 3)
    message = fault(path, label_names=names)
    assert message.startswith(f"label_names: {what}, and have the names 'a' and 'b'; keep one")
    if str(names.get(1)) != "a" or "1.0" in names:
        assert message.endswith(", or write labels: as_written")
    if "1.0" in names:
        assert get(path, label_names=names, labels="as_written").card["labels"] == ["a", "b"]


def test_keys_of_one_label_and_one_name(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "r.jsonl", *["1", "1.0", "2"] * 3)
    found = get(path, label_names={1: "a", "1.0": "a", 2: "b"})
    assert found.card["labels"] == ["a", "b"]


def test_settings_that_do_not_go_together() -> None:
    summaries = {"task": "summarization", "columns": {"text": "text", "summary": "gist"}}
    with pytest.raises(ValueError, match="labels: a summarization task has no labels; remove it"):
        dataset("r.csv", labels="as_written", **summaries)
    with pytest.raises(ValueError, match="quoting: goes with path or hub only; remove it"):
        made = {"generator": "toys", "rows": {"train": 1, "test": 1}}
        dataset(None, quoting="none", **made)


def test_names_of_a_csv_stay_in_reach(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", *(f"t{n},{n % 2}.0" for n in range(8)))
    assert get(path, label_names=["bad", "good"]).card["labels"] == ["bad", "good"]


# properties

WORDS = st.sampled_from(
    ["spam", "ham", "café", "not spam", "नहीं", "не", "日本", "1", "-2", "1.5", "C#"]
)
NOTHING = st.sampled_from(["", "\u200b", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u2066"])
SPACE = st.sampled_from([" ", "  ", "\u00a0", "\u3000", "\u2009", "\t", " \u200b "])


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """A label and one of its spellings."""
    word = draw(WORDS)
    form = draw(st.sampled_from(["NFC", "NFD"]))
    spelling = "".join(
        (draw(SPACE) if letter == " " else letter) + draw(NOTHING)
        for letter in unicodedata.normalize(form, word)
    )
    if word in ("1", "-2") and spelling == word:
        spelling += draw(st.sampled_from(["", ".", ".0", ".00"]))
    around = st.sampled_from(["", " ", "\u00a0", "\u200b"])
    return word, draw(around) + spelling + draw(around)


def labels_of(spellings: list[str]) -> list[str]:
    """What `download` makes of them, without a file."""
    cleaner = Cleaner(dataset("r.csv"))
    rows = [("here", {"text": f"t{n}", "label": label}) for n, label in enumerate(spellings)]
    found = [row["target"] for row in cleaner.rows("train", rows, SplitIndex())]
    cleaner.check_look_alikes()
    total = sum(sum(counts.values()) for counts in cleaner.spellings_by_label().values())
    assert total <= len(spellings)
    return found


@MANY
@given(st.lists(spelled(), min_size=1, max_size=12))
def test_spellings_of_a_label_are_one(given: list[tuple[str, str]]) -> None:
    words = [word for word, _ in given]
    found = labels_of([spelling for _, spelling in given])
    assert [normal(label) for label in found] == words
    for one, label in zip(words, found, strict=True):
        for other, another in zip(words, found, strict=True):
            assert (one == other) == (label == another)


ALPHABET = st.text(
    alphabet=string.ascii_letters[:3]
    + "AB .,'\"-_+#105:é\u0301\u200b\u200d\u00a0ｓаВйकीि👩❤\ufe0f",
    min_size=1,
    max_size=6,
)


@MANY
@given(ALPHABET)
def test_forms_are_stable(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert tidy(tidy(text)) == tidy(text)
    assert normal(tidy(text)) == normal(text)
    assert look_alikes([normal(text), normal(text) + "\u200b"]) in (
        [],
        [[normal(text), normal(text) + "\u200b"]],
    )


@MANY
@given(st.lists(ALPHABET.filter(lambda text: bool(normal(text))), min_size=1, max_size=8))
def test_one_label_if_the_forms_are_one_or_a_message(spellings: list[str]) -> None:
    forms = [normal(text) for text in spellings]
    try:
        found = labels_of(spellings)
    except SourceError as error:
        assert str(error).startswith("labels of 'label' read alike: ")
        assert any(one != other and look_alikes([one, other]) for one in forms for other in forms)
        return
    for one, label in zip(forms, found, strict=True):
        for other, another in zip(forms, found, strict=True):
            assert (one == other) == (label == another)
    assert not look_alikes(dict.fromkeys(found))


@MANY
@given(st.lists(st.sampled_from(string.ascii_letters), min_size=1, max_size=6), st.data())
def test_case_is_never_unified(letters: list[str], data: st.DataObject) -> None:
    label = "".join(letters)
    other = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in letters)
    if label == other:
        assert labels_of([label, other]) == [label, label]
    else:
        with pytest.raises(SourceError, match="read alike"):
            labels_of([label, other])
