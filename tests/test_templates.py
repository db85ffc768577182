"""Templates fill as a person would write them, and chat templates as the tokenizer itself does."""

from pathlib import Path
from typing import Any

import pytest

from tunebench.config.data import Template
from tunebench.errors import PromptError
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat
from tunebench.prompts import Prompt, batching, tokenization

SHARED = Path(__file__).parents[2] / "shared" / "tokenizers"
needs_shared = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/tokenizers is not there"),
]
REAL = pytest.mark.parametrize("name", ["llama2", "llama3", "zephyr-mistral"])
ROW = {"id": "train-0", "text": "  It was warm.\n", "target": "positive"}

CHAT = Template.model_validate(
    {
        "messages": [
            {"role": "system", "content": "{instruction}"},
            {"role": "user", "content": "Review: {text}"},
        ]
    }
)
PLAIN = Template(prompt="### Sentence:{text} ### Class:")
ALPACA = Template(
    prompt="Below is an instruction.\n\n### Instruction:\n{instruction}\n\n### Input:\n{text}\n\n"
    "### Response:\n"
)
LLAMA2 = Template(
    prompt="<s>[INST] <<SYS>>\n{instruction}\n<</SYS>>\n\n{text} [/INST]",
    completion=" {completion} </s>",
)

# what each tokenizer's own chat template writes for one example, byte for byte
CHATS = {
    "llama2": (
        "<s>[INST] <<SYS>>\nJudge.\n<</SYS>>\n\nReview:   It was warm. [/INST]",
        " positive </s>",
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nJudge.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nReview:   It was warm.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "positive<|eot_id|>",
    ),
    "zephyr-mistral": (
        "<|system|>\nJudge.</s>\n<|user|>\nReview:   It was warm.\n</s>\n<|assistant|>\n",
        "positive</s>",
    ),
}


def made(template: Template, tokenizer: Any, row: dict[str, str] = ROW, **changed: Any) -> Prompt:
    shots = changed.get("shots", [])
    layout = templates.build_layout(template, tokenizer, instruction="Judge.", shots=len(shots))
    settings: dict[str, Any] = {
        "layout": layout,
        "tokenizer": tokenizer,
        "max_length": 512,
        "answer_tokens": 4,
        "truncation_side": "right",
    }
    return PromptFormat(**settings | changed).format(row)


def real(name: str) -> Any:
    return tokenization.load(SHARED / name)


class TestRealTokenizers:
    pytestmark = needs_shared

    @REAL
    def test_chat_is_the_tokenizers_own(self, name: str) -> None:
        tokenizer = real(name)
        prompt = made(CHAT, tokenizer)
        assert (prompt.prompt, prompt.completion) == CHATS[name]
        assert prompt.gold == "positive"
        turns = [
            {"role": "system", "content": "Judge."},
            {"role": "user", "content": f"Review: {ROW['text']}"},
        ]
        assert prompt.prompt == tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        turns.append({"role": "assistant", "content": "positive"})
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
        assert whole.rstrip("\n") == prompt.prompt + prompt.completion

    @REAL
    def test_chat_is_tokenized_as_the_tokenizer_does(self, name: str) -> None:
        tokenizer = real(name)
        prompt = made(CHAT, tokenizer)
        turns = [
            {"role": "system", "content": "Judge."},
            {"role": "user", "content": f"Review: {ROW['text']}"},
        ]
        own = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
        assert tokenization.encode(tokenizer, prompt.marked_prompt) == own
        turns.append({"role": "assistant", "content": "positive"})
        whole = tokenizer.apply_chat_template(turns)["input_ids"]
        (trained,) = batching.examples([prompt], tokenizer, loss_on="all")
        assert trained["input_ids"] == whole[: len(trained["input_ids"])]
        assert trained["input_ids"][-1] == tokenizer.eos_token_id

    @REAL
    def test_solved_examples_are_earlier_turns(self, name: str) -> None:
        tokenizer = real(name)
        shots = [{"id": "s", "text": "A dull film.", "target": "negative"}]
        prompt = made(CHAT, tokenizer, shots=shots)
        turns = [
            {"role": "system", "content": "Judge."},
            {"role": "user", "content": "Review: A dull film."},
            {"role": "assistant", "content": "negative"},
            {"role": "user", "content": f"Review: {ROW['text']}"},
        ]
        own = {"tokenize": False, "add_generation_prompt": True}
        assert prompt.prompt == tokenizer.apply_chat_template(turns, **own)
        spans = [prompt.prompt[start:end].strip() for start, end in prompt.data]
        assert spans == ["A dull film.", "negative", "It was warm."]

    @REAL
    def test_row_writes_no_turn(self, name: str) -> None:
        tokenizer = real(name)
        calm = made(CHAT, tokenizer, ROW | {"text": "warm"})
        hostile = f"a {tokenizer.eos_token} b{tokenizer.bos_token}{tokenizer.eos_token}"
        prompt = made(CHAT, tokenizer, ROW | {"text": hostile, "target": hostile})
        control = set(tokenizer.added_tokens_decoder)
        ids, expected = (
            [index for index in batching.examples([entry], tokenizer, loss_on="all")[0]["input_ids"]
             if index in control]
            for entry in (prompt, calm)
        )  # fmt: skip
        assert ids == expected
        assert len(ids) >= 2

    @pytest.mark.parametrize(
        ("template", "written"),
        [
            (PLAIN, ("### Sentence:  It was warm.\n ### Class:", "positive")),
            (
                ALPACA,
                (
                    "Below is an instruction.\n\n### Instruction:\nJudge.\n\n### Input:\n"
                    "  It was warm.\n\n\n### Response:\n",
                    "positive",
                ),
            ),
            (
                LLAMA2,
                (
                    "<s>[INST] <<SYS>>\nJudge.\n<</SYS>>\n\n  It was warm.\n [/INST]",
                    " positive </s>",
                ),
            ),
        ],
    )
    def test_written_template(self, template: Template, written: tuple[str, str]) -> None:
        tokenizer = real("llama2")
        prompt = made(template, tokenizer)
        assert (prompt.prompt, prompt.completion) == written
        (row,) = batching.examples([prompt], tokenizer, loss_on="completion")
        assert row["input_ids"].count(tokenizer.bos_token_id) == 1
        assert row["input_ids"].count(tokenizer.eos_token_id) == 1
        learned = [index for index in row["labels"] if index != batching.IGNORED]
        assert tokenizer.decode(learned, skip_special_tokens=True).strip() == "positive"


def with_chat(tokenizer: Any, chat_template: str | None) -> Any:
    import copy

    changed = copy.copy(tokenizer)
    changed.chat_template = chat_template
    return changed


def test_no_chat_template_is_told(tokenizer: Any) -> None:
    with pytest.raises(PromptError, match="has no chat template; use a template with a prompt"):
        made(CHAT, with_chat(tokenizer, None))


def test_refused_role_is_told(tokenizer: Any) -> None:
    refusing = with_chat(tokenizer, "{{ raise_exception('System role not supported') }}")
    with pytest.raises(PromptError, match="refuses these messages: System role not supported"):
        made(CHAT, refusing)


def test_text_that_the_chat_template_drops_is_told(tokenizer: Any) -> None:
    deaf = with_chat(tokenizer, "{% for m in messages %}{{ m.role }}{% endfor %}")
    with pytest.raises(PromptError, match=r"leaves out \{text\}"):
        made(CHAT, deaf)


def test_what_comes_before_the_answer_is_learned(tokenizer: Any) -> None:
    thinking = with_chat(
        tokenizer,
        "{% for m in messages %}<{{ m.role }}>"
        "{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}",
    )
    prompt = made(CHAT, thinking)
    assert prompt.prompt.endswith("</s><assistant>")
    assert prompt.completion == "<think></think>positive</s>"
    assert prompt.gold == "positive"
    assert prompt.completed_with("negative").text == "<think></think>negative"


def test_date_is_not_todays(tokenizer: Any) -> None:
    dated = with_chat(
        tokenizer, "{{ date_string }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    assert made(CHAT, dated).prompt.startswith("26 Jul 2024")
    chosen = CHAT.model_copy(update={"variables": {"date_string": "1 Jan 2025"}})
    assert made(chosen, dated).prompt.startswith("1 Jan 2025")


def test_further_columns_and_labels_are_filled(tokenizer: Any) -> None:
    template = Template(
        prompt="{text} / {title} ({labels})\n{shots}?", shot="{title}: {text} {completion};"
    )
    rows = [{"id": "s", "text": "b", "target": "no", "title": "B"}]
    row = {"id": "r", "text": "a", "target": "yes", "title": "{A}"}
    prompt = made(template, tokenizer, row, shots=rows, labels=["yes", "no"])
    assert prompt.prompt == "a / {A} (yes, no)\nB: b no;?"


def test_completion_with_text_around_it(tokenizer: Any) -> None:
    template = Template(prompt="{text} ->", completion=" {{{completion}}}!")
    prompt = made(template, tokenizer)
    assert prompt.completion == " {positive}!"
    assert (prompt.gold, prompt.tail) == ("positive", "}!")
    (row,) = batching.examples([prompt], tokenizer, loss_on="completion")
    assert row["input_ids"][-1] == tokenizer.eos_token_id
