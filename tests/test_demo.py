"""The demo's generators, its pretraining text, and the model that the project ships."""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tunebench.demo import chats, corpus, exercises, posts, reviews
from tunebench.demo.grammar import Dice
from tunebench.demo.review_remarks import IMPLIED

TINY = Path(__file__).parents[1] / "assets" / "tiny"
LARGEST_BYTES = 12_000_000
DEMO_INSTRUCTIONS = (
    "Classify the review as positive or negative.",
    "Name the topic of the post.",
    "Summarize the chat.",
)

Rows = list[dict[str, str]]
Generate = Callable[..., Rows]

GENERATORS = pytest.mark.parametrize(
    "generate",
    [reviews.generate, posts.generate, chats.generate],
    ids=["reviews", "posts", "chats"],
)


def digest(rows: Rows) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("generate", "expected"),
    [
        (reviews.generate, "8c771a284fa1020c"),
        (posts.generate, "47ddd31ebc239ddf"),
        (chats.generate, "ad28c89cc10188ad"),
    ],
)
def test_the_same_rows_on_every_machine(generate: Generate, expected: str) -> None:
    assert digest(generate(50, seed=7)) == expected


@GENERATORS
def test_seeds_give_different_rows(generate: Generate) -> None:
    first, second = ({tuple(row.values()) for row in generate(500, seed=s)} for s in (0, 1))
    assert len(first & second) <= 2


@GENERATORS
def test_rows_are_rarely_alike(generate: Generate) -> None:
    texts = [next(iter(row.values())) for row in generate(1000, seed=3)]
    assert len(texts) == 1000
    assert len(set(texts)) >= 995
    assert all(text == text.strip() and "{" not in text for text in texts)


@pytest.mark.parametrize("module", [reviews, posts])
def test_labels_are_balanced(module: object) -> None:
    labels: tuple[str, ...] = module.LABELS  # type: ignore[attr-defined]
    rows: Rows = module.generate(1000, seed=0)  # type: ignore[attr-defined]
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == set(labels)
    assert all(abs(count - 1000 / len(labels)) < 20 for count in counts.values())


def test_neighbouring_topics_share_words() -> None:
    assert len(posts.LABELS) >= 8
    for topic, neighbour in zip(posts.LABELS, posts.LABELS[1:] + posts.LABELS[:1], strict=True):
        assert len(posts.shared(topic, neighbour)) == 10


def test_a_review_does_not_contradict_its_verdict() -> None:
    dice = Dice(11)
    for label in reviews.LABELS * 100:
        review = reviews.sample(dice, label)
        assert all(aspect in review.text for aspect, _ in review.opinions)
        assert review.label == label


def test_pretraining_states_opinions_and_the_demo_implies_them_too() -> None:
    remarks = [
        re.sub(r"\{\w+\}", r"[\\w-]+", remark) for side in IMPLIED.values() for remark in side
    ]
    implied = re.compile("|".join(remarks))
    documents = itertools.islice(corpus.documents(corpus.PRETRAINING_SEED), 3000)
    assert not any(implied.search(document.text) for document in documents)
    rows = reviews.generate(300, seed=0)
    assert sum(implied.search(row["text"]) is not None for row in rows) > 250


def test_a_summary_states_facts_of_the_chat_in_other_words() -> None:
    dice = Dice(5)
    for _ in range(300):
        chat = chats.sample(dice)
        assert 2 <= len(chat.names) <= 4
        lines = [line for _, line in chat.turns]
        assert not any(line in chat.summary or chat.summary in line for line in lines)
        facts = [chat.slots[key] for key in ("day", "day2", "time", "place", "thing", "pet")]
        stated = [fact for fact in (*facts, *chat.names) if f" {fact}" in f" {chat.summary}"]
        assert len(stated) >= 2
        assert all(fact in chat.dialogue for fact in stated)


def test_every_answer_on_a_chat_stands_in_the_chat() -> None:
    dice = Dice(6)
    for _ in range(300):
        chat = chats.sample(dice)
        assert len(chat.asks) == 4
        assert all(answer in chat.dialogue for _, answer in chat.asks)


def test_pretraining_never_sets_the_demo_tasks() -> None:
    streams = (corpus.documents(corpus.PRETRAINING_SEED), corpus.long_documents(1))
    texts = [document.text for stream in streams for document in itertools.islice(stream, 3000)]
    assert sum("### Instruction:" in text for text in texts) > 3000
    assert not any(instruction in text for text in texts for instruction in DEMO_INSTRUCTIONS)


def test_pretraining_shows_every_word_of_the_demo_instructions_and_labels() -> None:
    documents = itertools.islice(corpus.documents(corpus.PRETRAINING_SEED), 4000)
    texts = "\n".join(document.text for document in documents)
    words = {word for instruction in DEMO_INSTRUCTIONS for word in instruction.strip(".").split()}
    for word in words - {"Name"} | {*reviews.LABELS, *posts.LABELS}:
        assert word in texts, word


def test_pretraining_repeats_itself() -> None:
    first, second = (list(itertools.islice(corpus.documents(9), 200)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("maker", list(dict.fromkeys(exercises.MAKERS)))
def test_an_exercise_has_an_answer(maker: exercises.Maker) -> None:
    dice = Dice(2)
    for _ in range(50):
        assert all(part.strip() for part in maker(dice)[:3])


def test_the_shipped_folder_is_complete_and_small() -> None:
    needed = {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "README.md",
    }  # fmt: skip
    files = [path for path in TINY.rglob("*") if path.is_file()]
    assert needed <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES
    config = json.loads((TINY / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True


def test_the_shipped_tokenizer_gives_text_back_and_adds_nothing() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    texts = [row["text"] for row in reviews.generate(20, seed=0)]
    for text in [*texts, "Zażółć  gęślą\n\njaźń… 1,234.5 😀\t.", " leading and trailing ", "</s>"]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        assert tokenizer.decode(encoded["input_ids"]) == text
        assert not set(encoded["input_ids"]) & set(tokenizer.all_special_ids)
        assert encoded["offset_mapping"][-1][1] == len(text)
    assert None not in (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token)


def test_the_shipped_chat_template_follows_the_prompts() -> None:
    from transformers import AutoTokenizer

    messages = [{"role": "user", "content": "Who speaks first?"}]
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "### Instruction:\nWho speaks first?\n\n### Response:\n"
