"""The tasks that pretraining sets: questions on reviews, posts, chats, and words.

They show the model how instructions are answered, and how facts are copied, without the three tasks
of the demo: nothing here asks for the verdict of a review, the topic of a post, or the summary of a
chat. The words of those tasks and of their labels stand here in other places, because a word that
pretraining never shows has an embedding which a small adapter cannot tell from others.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tunebench.demo import chats, posts, reviews
from tunebench.demo.grammar import DAYS, MONTHS, NAMES, PLACES, Dice, capitalized
from tunebench.demo.post_words import COMMON, FRAMES, OWN


class Exercise(NamedTuple):
    """An instruction with an input, and the answer to it."""

    instruction: str
    input: str
    answer: str


Maker = Callable[[Dice], Exercise]


def any_review(dice: Dice) -> reviews.Review:
    """A review of either label."""
    return reviews.sample(dice, dice.pick(reviews.LABELS))


def any_post(dice: Dice) -> posts.Post:
    """A post on any topic."""
    return posts.sample(dice, dice.pick(posts.LABELS))


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


# Reviews


def _review_product(dice: Dice) -> Exercise:
    review = any_review(dice)
    instructions = ("What is the review about?", "Name the product in the review.")
    return Exercise(dice.pick(instructions), review.text, review.product)


def _review_remark(dice: Dice) -> Exercise:
    review = any_review(dice)
    aspect, label = dice.pick(review.opinions)
    instruction = "Is the remark on the aspect positive or negative?"
    return Exercise(instruction, f"{review.text}\nAspect: {aspect}", label)


def _review_again(dice: Dice) -> Exercise:
    review = any_review(dice)
    instruction = "Say whether the writer would choose it again."
    return Exercise(instruction, review.text, _yes(review.label == "positive"))


def _review_fact(dice: Dice) -> Exercise:
    while True:
        review = any_review(dice)
        if review.facts:
            question, answer = dice.pick(review.facts)
            return Exercise(question, review.text, answer)


def _sentence_tone(dice: Dice) -> Exercise:
    text, label = reviews.sentence(dice) if dice.chance(0.6) else _plain_remark(dice)
    return Exercise("Say whether the sentence is positive or negative.", text, label)


def _plain_remark(dice: Dice) -> tuple[str, str]:
    phrase, label = reviews.plain_phrase(dice)
    return f"The {phrase}.", label


# Posts


def _word_field(dice: Dice) -> Exercise:
    topic = dice.pick(posts.LABELS)
    instructions = ("Which field does the word belong to?", "Name the topic of the word.")
    return Exercise(dice.pick(instructions), dice.pick(OWN[topic]), topic)


def _sentence_field(dice: Dice) -> Exercise:
    topic = dice.pick(posts.LABELS)
    frame = dice.pick([frame for frame in FRAMES if frame.count("{}") == 2])
    nouns = dice.sample(OWN[topic], 2)
    text = capitalized(frame.format(*nouns, name=dice.pick(NAMES), month=dice.pick(MONTHS)))
    return Exercise("Which field does the sentence belong to?", text, topic)


def _odd_word(dice: Dice) -> Exercise:
    topic, other = dice.sample(posts.LABELS, 2)
    odd = dice.pick(OWN[other])
    words = dice.shuffled([*dice.sample(OWN[topic], 4), odd])
    return Exercise("Which word of the list does not fit?", ", ".join(words), odd)


def _fitting_word(dice: Dice) -> Exercise:
    post = any_post(dice)
    others = [
        noun for noun in dice.sample(OWN[dice.pick(posts.LABELS)], 4) if noun not in post.nouns
    ]
    noun = dice.pick(post.nouns)
    words = ", ".join(dice.shuffled([*others[:3], noun]))
    return Exercise(
        "Which word of the list stands in the post?", f"{post.text}\nList: {words}", noun
    )


def _post_subject(dice: Dice) -> Exercise:
    post = any_post(dice)
    return Exercise(
        "Name the first two things in the post.", post.text, " and ".join(post.nouns[:2])
    )


def _post_question(dice: Dice) -> Exercise:
    post = any_post(dice)
    instruction = "Classify the last sentence as a question or a statement."
    return Exercise(instruction, post.text, "question" if post.is_question else "statement")


# Chats


def _chat_fact(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    question, answer = dice.pick(chat.asks)
    return Exercise(question, chat.dialogue, answer)


def _chat_question(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    question, answer = dice.pick(chat.asks)
    return Exercise(
        "Answer the question on the chat.", f"{chat.dialogue}\nQuestion: {question}", answer
    )


def _chat_all_facts(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    asks = dice.shuffled(chat.asks)
    questions = " ".join(question for question, _ in asks)
    answers = ", ".join(answer for _, answer in asks)
    return Exercise("Answer each question.", f"{chat.dialogue}\nQuestions: {questions}", answers)


def _chat_first(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    return Exercise("Who speaks first?", chat.dialogue, chat.turns[0][0])


def _chat_last(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    return Exercise("Who speaks last?", chat.dialogue, chat.turns[-1][0])


def _chat_names(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    return Exercise("Repeat the names in the chat.", chat.dialogue, ", ".join(chat.names))


def _chat_speaker(dice: Dice) -> Exercise:
    chat = chats.sample(dice)
    name, line = dice.pick(chat.turns)
    return Exercise("Who says this line in the chat?", f"{chat.dialogue}\nLine: {line}", name)


def _note_names(dice: Dice) -> Exercise:
    summary = chats.sample(dice).summary
    words = summary.replace(".", " ").replace(",", " ").split()
    names = dict.fromkeys(word for word in words if word in NAMES)
    return Exercise("Repeat the names in the note.", summary, ", ".join(names))


# Words


def any_words(dice: Dice, count: int) -> list[str]:
    """Different words of all kinds."""
    pool: Sequence[str] = (*NAMES, *PLACES, *DAYS, *COMMON, *OWN[dice.pick(posts.LABELS)])
    return dice.sample(sorted(set(pool)), count)


def _words_repeated(dice: Dice) -> Exercise:
    words = " ".join(any_words(dice, 3 + dice.index(8)))
    return Exercise("Repeat the words.", words, words)


def _word_after(dice: Dice) -> Exercise:
    words = any_words(dice, 8)
    place = dice.index(7)
    text = f"{', '.join(words)}\nWord: {words[place]}"
    return Exercise("Which word of the list comes next?", text, words[place + 1])


def _words_summarized(dice: Dice) -> Exercise:
    words = any_words(dice, 4 + dice.index(5))
    return Exercise("Summarize the list.", ", ".join(words), f"from {words[0]} to {words[-1]}")


def _word_kind(dice: Dice) -> Exercise:
    kind, words = dice.pick((("name", NAMES), ("place", PLACES), ("day", DAYS)))
    return Exercise("Classify the word as name, place or day.", dice.pick(words), kind)


REVIEW_MAKERS: tuple[Maker, ...] = (
    _review_product, _review_remark, _review_remark, _sentence_tone, _sentence_tone, _review_again,
    _review_fact,
)  # fmt: skip
POST_MAKERS: tuple[Maker, ...] = (
    _word_field, _sentence_field, _sentence_field, _odd_word, _fitting_word, _post_subject,
    _post_question,
)  # fmt: skip
CHAT_MAKERS: tuple[Maker, ...] = (
    _chat_fact, _chat_fact, _chat_fact, _chat_question, _chat_question, _chat_all_facts,
    _chat_first, _chat_last, _chat_names, _chat_speaker, _note_names,
)  # fmt: skip
WORD_MAKERS: tuple[Maker, ...] = (_words_repeated, _word_after, _words_summarized, _word_kind)
MAKERS = (*REVIEW_MAKERS, *POST_MAKERS, *CHAT_MAKERS, *WORD_MAKERS)
