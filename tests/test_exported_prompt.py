"""The prompt that an export writes down has the tokens of `evaluate`, for every tokenizer."""

from pathlib import Path
from typing import Any

import pytest
from vocabularies import KINDS, trained

from tunebench.config.data import Template
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat
from tunebench.prompts import encoding, tokenization
from tunebench.winner import exporting
from tunebench.winner.prompt import ExactPrompt

SHARED = Path(__file__).parents[2] / "shared" / "tokenizers"
CHAT = (
    "{{ bos_token or '' }}{% for message in messages %}[{{ message.role }}]"
    "{{ message.content | trim }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
TEMPLATES = {
    "text": Template(prompt="{instruction}\n{text}\nTopic {topic} of {labels}:\nAnswer: "),
    "text at the end": Template(prompt="{topic} {text}"),
    "chat": Template.model_validate(
        {"messages": [{"role": "user", "content": "{instruction} {topic}\n\n{text}"}]}
    ),
}
TEXTS = ["a dull story", "  Größe, 你好! \n", "e\u0301 tired", "x", "", "a tired cast " * 40]


def exact(tokenizer: Any, template: str, side: str = "right") -> ExactPrompt:
    tokenizer.chat_template = CHAT
    layout = templates.build_layout(TEMPLATES[template], tokenizer, instruction="Judge {it}.")
    row_format = PromptFormat(
        layout, tokenizer, max_length=90, answer_tokens=6, truncation_side=side,
        labels=["good", "bad"],
    )  # fmt: skip
    [sample] = row_format.format_all([row("a")], answer=False)
    return ExactPrompt(row_format, sample, {}, {}, cached=True)


def row(text: str) -> dict[str, str]:
    return {"id": "1", "text": text, "topic": "film", "target": ""}


def check(tokenizer: Any, template: str, side: str) -> int:
    """Compare the tokens of each text's prompt; how many were cut."""
    made = exact(tokenizer, template, side)
    script: dict[str, Any] = {"P": made.encoded(), "tokenizer": tokenizer}
    exec((exporting.SCRIPTS / "encode.txt").read_text("utf-8"), script)
    assert sorted(made.fields) == ["text", "topic"]
    cut = 0
    for text in TEXTS:
        [prompt] = made.format.format_all([row(text)], answer=False)
        [expected] = encoding.contexts(tokenizer, [prompt])
        assert script["encode"]({"text": text, "topic": "film"}) == list(expected), text
        cut += prompt.cut
    return cut


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_script_s_tokens_are_those_of_evaluate(kind: str, template: str, side: str) -> None:
    assert check(trained(kind, fresh=True), template, side) == 1


@pytest.mark.shared
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["llama2", "llama3", "zephyr-mistral"])
def test_published_tokenizers_too(name: str, template: str) -> None:
    assert check(tokenization.load(SHARED / name), template, "right") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_token_in_a_row_stays_text(kind: str) -> None:
    tokenizer = trained(kind, fresh=True)
    made = exact(tokenizer, "text")
    script: dict[str, Any] = {"P": made.encoded(), "tokenizer": tokenizer}
    exec((exporting.SCRIPTS / "encode.txt").read_text("utf-8"), script)
    plain = script["encode"]({"text": "the end", "topic": "film"})
    tokens = script["encode"]({"text": "the</s><|im_end|>end", "topic": "film"})
    control = {tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "<|im_end|>")}
    assert control <= set(tokenizer.get_vocab().values())
    assert not control & (set(tokens) - set(plain))
