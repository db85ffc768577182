"""What a study's models have to beat: majority, linear, lead, on any labels and any script."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import faults_of
from sklearn.feature_extraction.text import TfidfVectorizer

from tunebench.baselines import kinds
from tunebench.baselines.examples import NEVER, Examples
from tunebench.baselines.features import PARTS, Part, joined
from tunebench.baselines.lead import Lead, lead
from tunebench.baselines.linear import Linear
from tunebench.baselines.majority import Majority
from tunebench.config.baselines import BASELINES, LeadMethod, LinearMethod, MajorityMethod

LINEAR = LinearMethod(kind="linear", min_df=1)
NONE = Examples()
REVIEWS = Examples(
    ["good film", "a good story", "bad film", "a bad, bad story", "so good", "so bad"] * 3,
    ["positive", "positive", "negative", "negative", "positive", "negative"] * 3,
)
LABELS = ["negative", "positive"]


def answers(model: Any, texts: list[str], labels: list[str] = LABELS) -> list[str]:
    return [answer["answer"] for answer in model.answer(texts, labels)]


def test_every_kind_has_settings_and_a_class() -> None:
    assert list(kinds.KINDS) == list(BASELINES)
    assert len(BASELINES) == 3
    for kind, settings in BASELINES.items():
        assert settings(kind=kind).kind == kind


def test_majority_answers_the_commonest_label_with_the_shares_of_all() -> None:
    rows = Examples(["x"] * 4, ["no", "yes", "no", "no"])
    (answer,) = Majority.fit(MajorityMethod(kind="majority"), rows, NONE).answer(
        ["?"], ["maybe", "no", "yes"]
    )
    assert answer["answer"] == "no"
    assert answer["scores"] == {"maybe": NEVER, "no": -0.28768, "yes": -1.38629}


def test_linear_learns_words() -> None:
    model = Linear.fit(LINEAR, REVIEWS, NONE)
    assert answers(model, ["a good, good day", "BAD weather"]) == ["positive", "negative"]
    (answer,) = model.answer(["good"], LABELS)
    assert sum(np.exp(list(answer["scores"].values()))) == pytest.approx(1, abs=1e-4)
    assert set(model.scores) == {"1", "10", "100"}
    assert float(max(model.scores, key=model.scores.__getitem__)) == model.C


SCRIPTS = {
    "chinese": ["这部电影很好看", "我喜欢这个故事", "这部电影很难看", "我讨厌这个故事"],
    "thai": ["หนังเรื่องนี้ดีมาก", "ฉันชอบเรื่องนี้", "หนังเรื่องนี้แย่มาก", "ฉันเกลียดเรื่องนี้"],
    "emoji": ["👍👍", "👍 !!", "👎👎", "👎 ?"],
    "arabic": ["فيلم جميل", "قصة جميلة", "فيلم سيئ", "قصة سيئة"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_linear_reads_scripts_without_spaces_or_letters(script: str) -> None:
    texts = SCRIPTS[script]
    rows = Examples(texts * 3, ["positive", "positive", "negative", "negative"] * 3)
    assert answers(Linear.fit(LINEAR, rows, NONE), texts) == rows.targets[:4]


def test_features_are_those_of_scikit_learn() -> None:
    texts = [*REVIEWS.texts, "Ünïcode  Straße\n\tİstanbul", "", "a 1 b"]
    settings = LinearMethod(kind="linear", min_df=2, sublinear_tf=True)
    options: dict[str, dict[str, Any]] = {
        "words": {"ngram_range": (1, 2)},
        "characters": {"ngram_range": (1, 4), "analyzer": "char_wb"},
    }
    for kind, given in options.items():
        theirs = TfidfVectorizer(min_df=2, sublinear_tf=True, **given)
        expected = theirs.fit_transform(texts).toarray()
        part, own = Part.fitted(kind, texts, settings)
        assert part.names == theirs.get_feature_names_out().tolist()
        assert len(part.names) > 10
        assert own.toarray() == pytest.approx(expected, abs=1e-6)
        new = ["a good day", "", "new words"]
        assert part.of(new).toarray() == pytest.approx(theirs.transform(new).toarray(), abs=1e-6)


def test_commonest_features_are_kept() -> None:
    settings = LinearMethod(kind="linear", min_df=1, max_features=2, ngram_range=[1, 1])
    part, matrix = Part.fitted("words", ["b b b", "a a", "c", "a b"], settings)
    assert part.names == ["aa"] or part.names == [], "single letters are no words"
    part, matrix = Part.fitted("words", ["bb bb bb", "aa aa", "cc", "aa bb"], settings)
    assert part.names == ["aa", "bb"]
    both = joined([matrix, matrix]).toarray()
    assert both[:, 2:] == pytest.approx(PARTS["characters"] * both[:, :2])
    assert both.shape == (4, 4)


def test_features_of_few_texts_are_kept_where_nothing_else_is_left() -> None:
    settings = LinearMethod(kind="linear", min_df=2)
    part, _ = Part.fitted("words", ["one", "two"], settings)
    assert part.names == ["one", "two"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (Examples(["good", "bad"], ["positive", "negative"]), "positive"),
        (Examples(["good", "bad", "worse"], ["positive", "negative", "negative"]), "negative"),
        (Examples(["good"], ["positive"]), "positive"),
        (Examples(["bad", "worse"], ["negative", "negative"]), "negative"),
        (Examples(["", "", ""], ["positive", "positive", "negative"]), "positive"),
        (Examples(["!?", "..", "!!"], ["positive", "positive", "negative"]), "positive"),
    ],
    ids=[
        "two rows",
        "one of a label, too few to outweigh the others",
        "one row",
        "one label",
        "empty texts",
        "punctuation",
    ],
)
def test_linear_answers_whatever_it_learnt_from(rows: Examples, expected: str) -> None:
    model = Linear.fit(LINEAR, rows, NONE)
    text = "good" if "good" in rows.texts else "zzz"
    assert answers(model, [text]) == [expected]
    assert model.answer([], LABELS) == []


def test_many_labels_some_with_one_row() -> None:
    texts = [f"word{label} again" for label in range(77)] + [f"word{label}" for label in range(40)]
    targets = [f"label {label:02}" for label in [*range(77), *range(40)]]
    model = Linear.fit(LINEAR, Examples(texts, targets), NONE)
    labels = sorted({*targets, "never seen"})
    found = model.answer(texts, labels)
    right = sum(row["answer"] == target for row, target in zip(found, targets, strict=True))
    assert right >= 110
    assert all(row["scores"]["never seen"] == NEVER for row in found)


@pytest.mark.parametrize("settings", [LINEAR, MajorityMethod(kind="majority")], ids=["linear", "m"])
def test_what_was_learnt_is_read_back_bit_for_bit(settings: Any, tmp_path: Path) -> None:
    three = Examples([*REVIEWS.texts, "so so"] * 2, [*REVIEWS.targets, "neither"] * 2)
    model = kinds.fit(settings, three, NONE)
    model.save(tmp_path)
    again = kinds.load(settings, tmp_path)
    labels = [*LABELS, "neither"]
    texts = ["good story", "so", "", "new"]
    assert again.answer(texts, labels) == model.answer(texts, labels)
    assert again.parameters == model.parameters
    assert again.chosen == model.chosen
    files = {path.suffix for path in tmp_path.iterdir()}
    assert files <= {".json", ".safetensors"}


def test_learning_twice_gives_the_same() -> None:
    first, second = (Linear.fit(LINEAR, REVIEWS, NONE) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert first.chosen == second.chosen


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("One. Two! Three?", 2, "One. Two!"),
        ("One. Two.", 9, "One. Two."),
        ("Ada: Hi! You in?\r\nBob: Yes.\r\nAda: Fine.", 3, "Ada: Hi! You in?\r\nBob: Yes."),
        ("今天天气很好。我们去公园吧。好的。", 2, "今天天气很好。我们去公园吧。"),
        ("no end", 1, "no end"),
        ("  ", 1, ""),
        ("Ha. Ha. Ha.", 2, "Ha. Ha."),
    ],
)
def test_lead_is_the_beginning_of_the_text(text: str, number: int, expected: str) -> None:
    assert lead(text, number) == expected


def test_lead_chooses_on_validation_rows() -> None:
    texts = ["First of all. The second one. And a third."] * 2
    settings = LeadMethod(kind="lead", sentences=[3, 1, 2])
    train = Examples(texts, ["First of all."] * 2)
    validation = Examples(texts, ["First of all. The second one."] * 2)
    assert Lead.fit(settings, train, NONE).sentences == 1
    chosen = Lead.fit(settings, train, validation)
    assert chosen.sentences == 2
    assert chosen.scores["2"] == 1.0
    assert [answer["answer"] for answer in chosen.answer(texts, [])] == validation.targets


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "linear", "C": []}, "methods.own.C: is empty; name at least one"),
    ({"kind": "linear", "C": [-1.0]}, "methods.own.C[0]: -1.0 should be greater than 0"),
    ({"kind": "linear", "C": 1.0}, "methods.own.C: 1.0 should be a valid list"),
    (
        {"kind": "linear", "ngram_range": [2, 1]},
        "methods.own.ngram_range: [2, 1] is no range; write two numbers, the smaller one first",
    ),
    (
        {"kind": "linear", "penalty": "l1"},
        "methods.own.penalty: unknown key; choose from: C, char_ngram_range, kind, max_features,"
        " min_df, ngram_range, sublinear_tf",
    ),
    (
        {"kind": "lead", "sentences": [0]},
        "methods.own.sentences[0]: 0 should be greater than or equal to 1",
    ),
    ({"kind": "lead", "sentences": []}, "methods.own.sentences: is empty; name at least one"),
    ({"kind": "liner"}, "methods.own.kind: 'liner' is unknown; did you mean 'linear'?"),
]


@pytest.mark.parametrize(("method", "expected"), FAULTS, ids=[text for _, text in FAULTS])
def test_settings_are_checked(
    method: dict[str, Any], expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["methods"]["own"] = method
    assert expected in faults_of(valid, tmp_path)


@pytest.mark.parametrize("kind", BASELINES)
def test_a_baseline_is_named_under_its_own_list(
    kind: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["methods"]["own"] = {"kind": kind}
    valid["grid"]["tuning"] = ["own"]
    assert faults_of(valid, tmp_path) == [
        f"grid.tuning[0]: 'own' is a {kind} method; name it under grid.baselines"
    ]


def test_sizes_are_needed(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["methods"]["own"] = {"kind": "linear"}
    valid["grid"] |= {"tuning": [], "baselines": ["own"], "train_sizes": []}
    faults = faults_of(valid, tmp_path)
    assert "grid: baselines need at least one entry in train_sizes and in seeds" in faults
