"""Words and sentences of many scripts, and ROUGE over them."""

from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from tunebench import metrics
from tunebench.metrics import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop: 3.14 x_y", ["don", "t", "stop", "3", "14", "x", "y"]),
        ("Schön, STRASSE Straße", ["schön", "strasse", "strasse"]),
        ("L’été, l'e\u0301te\u0301", ["l", "été", "l", "été"]),
        ("п'ять пʼять п’ять", ["п", "ять"] * 3),
        ("Όδος ΌΔΟΣ", ["όδοσ", "όδοσ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שָׁלוֹם, עולם", [normalize("NFKC", "שָׁלוֹם"), "עולם"]),
        ("مرحبا، عالم", ["مرحبا", "عالم"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("북 " + normalize("NFD", "북"), ["북", "북"]),
        ("AI技術を使うｶﾞｽ", ["ai", "技", "術", "を", "使", "う", "ガ", "ス"]),
        ("コーヒー二〇二四年", [*"コーヒー二〇二四年"]),
        ("葛\U000e0100城", ["葛", "城"]),
        ("น้ำดื่ม", ["น้ำ", "ดื่", "ม"]),
        ("ນ້ຳ", ["ນ້ຳ"]),
        ("မာ", ["မာ"]),
        ("ខ្ញុំ", ["ខ្ញុំ"]),
        ("བོད་ཡིག", ["བོད", "ཡིག"]),
        ("ＡＢＣ１２", ["abc12"]),
        ("👍!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words.words(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_are_those_of_rouge_score(text: str) -> None:
    assert words.words(text) == DefaultTokenizer().tokenize(text)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_composed_and_decomposed_texts_have_the_same_words(text: str) -> None:
    assert words.words(normalize("NFC", text)) == words.words(normalize("NFD", text))


SCRIPTS = {
    "unicode_words": [
        "Кошка сидит дома",
        "Η γάτα κοιμάται",
        "Das Wetter ist schön",
        "बिल्ली घर में है।",
        "القطة في البيت",
        "החתול בבית",
        "고양이가 집에 있다",
        "Կատուն տանն է",
        "བོད་ཡིག",
    ],
    "unicode_words_and_characters": [
        "猫在家里。", "猫は家にいます", "แมวอยู่ที่บ้าน", "ແມວຢູ່ເຮືອນ",
        "ឆ្មានៅផ្ទះ", "ကြောင်အိမ်",
    ],
    "unicode_words_and_symbols": ["👍👍", "!!!", "❤️ 👩‍⚕️"],
    "rouge-score": ["the cat is at home", "2 + 2"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in SCRIPTS.items() for text in texts]
)
def test_a_text_is_like_itself_and_unlike_another_in_any_script(name: str, text: str) -> None:
    assert metrics.rouge_tokenization([text]) == name
    found = metrics.rouge([text], [text])
    assert found["rouge1"] == found["rougeL"] == found["rougeLsum"] == [1.0]
    assert metrics.rouge([text], [f"{text} ¿½xyz?"])["rouge1"][0] < 1.0
    assert metrics.rouge([text], [""])["rouge1"] == [0.0]


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1), st.sampled_from(["", "plain words", "слова"]))
def test_any_text_is_like_itself_among_any_others(text: str, other: str) -> None:
    found = metrics.rouge([text, *[other] * 5], [text, *[other] * 5])
    visible = words.words_and_symbols(text)
    assert found["rouge1"][0] == pytest.approx(1.0 if visible else 0.0)


@pytest.mark.parametrize(
    ("gold", "answer", "rouge1", "rouge2", "longest"),
    [
        # 3 of 4 characters, 1 of 3 pairs
        ("我爱北京", "我在北京", 3 / 4, 1 / 3, 3 / 4),
        # 2 of 3 words, no pair
        ("Кошка сидит дома.", "кошка спит дома", 2 / 3, 0, 2 / 3),
        # 2 of 4 and of 5 tokens: ai 技 術 好, ai 技 is not ok
        ("AI技術好", "AI技 not ok.", 2 * 2 / (4 + 4), 2 / 6, 2 / 4),
        ("schön", "sch n", 0, 0, 0),
        ("👍", "ok 👍", 2 * 1 / (1 + 2), 0, 2 / 3),
    ],
)
def test_rouge_of_other_scripts_by_hand(
    gold: str, answer: str, rouge1: float, rouge2: float, longest: float
) -> None:
    found = metrics.summarization([gold], [answer])
    assert found == pytest.approx(
        {"rouge1": rouge1, "rouge2": rouge2, "rougeL": longest, "rougeLsum": longest}
    )


def test_one_row_of_another_script_is_read_by_its_own_words() -> None:
    gold = ["a plain text of a few words"] * 80 + ["我爱北京", "👍"]
    assert metrics.rouge_tokenization(gold) == "rouge-score"
    found = metrics.rouge(gold, [*gold[:80], "我在北京", "👍 👍"])
    assert found["rouge1"][80:] == pytest.approx([3 / 4, 2 / 3])


def test_stray_accent_in_english_leaves_the_numbers_of_rouge_score() -> None:
    gold = ["twenty plain words and more of them " * 3] * 10 + ["we met at the café"]
    answers = [*["some words of them"] * 10, "we met at the caf"]
    assert metrics.rouge_tokenization(gold) == "rouge-score"
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for index, (right, text) in enumerate(zip(gold, answers, strict=True)):
        for name, score in theirs.score(right, text).items():
            assert metrics.rouge(gold, answers)[name][index] == pytest.approx(score.fmeasure)
    # where accents are no strays, these are two words
    assert metrics.rouge_tokenization(gold[-1:]) == "unicode_words"
    assert metrics.rouge(gold[-1:], answers[-1:])["rouge1"] == pytest.approx([4 / 5])


@pytest.mark.parametrize(("accents", "name"), [(1, "rouge-score"), (2, "unicode_words")])
def test_a_hundredth_of_the_words_may_have_accents(accents: int, name: str) -> None:
    assert metrics.rouge_tokenization(["é"] * accents + ["e"] * (100 - accents)) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.14. Fine.", ["It costs 3.14.", "Fine."]),
        ("See e.g. this, at example.com or U.K. shops.",
         ["See e.g. this, at example.com or U.K. shops."]),
        ("At 5. 12 people came.", ["At 5.", "12 people came."]),
        ("“Go!” she said. “Now.” He (too.) left… Then what?!",
         ["“Go!” she said.", "“Now.”", "He (too.) left…", "Then what?!"]),
        ("No… maybe. ¿Qué? ¡Ya!", ["No… maybe.", "¿Qué?", "¡Ya!"]),
        ("one\n\ntwo\r\nthree\u2028four", ["one", "two", "three", "four"]),
        ("你好。好吗？！「行く。」終わり", ["你好。", "好吗？！", "「行く。」", "終わり"]),
        ("３．１４です．次", ["３．１４です．", "次"]),
        ("यह है। वह है॥", ["यह है।", "वह है॥"]),
        ("ما هذا؟ نعم۔ لا", ["ما هذا؟", "نعم۔", "لا"]),
        ("Это да. «Нет!» — сказал он.", ["Это да.", "«Нет!» — сказал он."]),
        ("Dr. Who", ["Dr.", "Who"]),  # a limit: no abbreviation is known
        (" . ", ["."]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: list[str]) -> None:
    assert words.sentences(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aB1 .!?…。！।؟\n\"'”)").map(str)))
def test_sentences_lose_nothing(text: str) -> None:
    assert "".join("".join(words.sentences(text)).split()) == "".join(text.split())


def test_rouge_lsum_takes_sentences_apart() -> None:
    # by sentence all 4 words are found, in the one order of the whole text only 2
    found = metrics.summarization(["One two. Three four."], ["Three four. One two."])
    assert found["rougeLsum"] == pytest.approx(1.0)
    assert found["rougeL"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (["Ann is late.", "Bob waits for her!", "They go home."],
         ["They wait.", "Bob waits.", "Ann is at home, late."]),
        (["Ann is late."], ["Is Ann late?", "She is."]),
    ],
)  # fmt: skip
def test_rouge_lsum_is_the_librarys_own_over_lines(gold: list[str], answer: list[str]) -> None:
    found = metrics.rouge([" ".join(gold)], [" ".join(answer)])
    theirs = RougeScorer([*metrics.ROUGE]).score("\n".join(gold), "\n".join(answer))
    for name in metrics.ROUGE:  # white space tells the others nothing
        assert found[name] == pytest.approx([theirs[name].fmeasure], abs=1e-9)
    assert found["rougeLsum"] != found["rougeL"]
