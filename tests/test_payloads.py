"""A server reads the tokens that the evaluation read, or is refused."""

import json
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_servers import own, running
from vocabularies import trained

from tunebench.errors import ServingError
from tunebench.prompts import Prompt, encoding, tokenization
from tunebench.serving import load
from tunebench.serving.payloads import _texts, payloads

PROMPTS = [Prompt(str(place), f"the film number {place} was warm", " x") for place in range(5)]


@cache
def word_level() -> Any:
    """A tokenizer that counts words, as the tests' own server does."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for prompt in PROMPTS for word in prompt.prompt.split()})
    vocabulary = {word: place for place, word in enumerate(["<unk>", "</s>", *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>")


def ids_of(prompts: list[Prompt]) -> list[list[int]]:
    return [list(ids) for ids in encoding.contexts(word_level(), prompts)]


def test_token_ids_where_a_server_takes_them(tmp_path: Path) -> None:
    with running(own(), tmp_path / "log") as endpoint:
        sent = payloads(endpoint, word_level(), PROMPTS, timeout_s=10)
        assert (sent.prompts, sent.payloads, sent.as_text) == (PROMPTS, ids_of(PROMPTS), False)
        with load.guidellm(
            endpoint, sent.payloads, body={"max_tokens": 1}, timeout_s=10, log=tmp_path / "load"
        ) as source:
            found = source.load(None, 5, seed=0)
        with urllib.request.urlopen(f"{endpoint.url}/asked") as response:
            asked = json.load(response)
    assert sorted(body["prompt"] for body in asked) == sorted(ids_of(PROMPTS))
    assert [request.tokens_in for request in found.requests] == [6] * 5


def test_texts_where_a_server_takes_no_ids(tmp_path: Path) -> None:
    with running(own("--text-only"), tmp_path / "log") as endpoint:
        sent = payloads(endpoint, word_level(), PROMPTS, timeout_s=10)
    assert sent.as_text
    assert sent.payloads == [prompt.prompt for prompt in PROMPTS]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--text-only --more-tokens 1", "counts 7 tokens in a prompt, sent as text, that has 6"),
        ("--more-tokens 1", "counts 7 tokens in a prompt, sent as token ids, that has 6"),
        ("--text-only --uncounted", "takes texts only, and does not count prompt_tokens"),
    ],
)
def test_server_that_reads_other_tokens_is_refused(options: str, said: str, tmp_path: Path) -> None:
    with running(own(options), tmp_path / "log") as endpoint, pytest.raises(ServingError) as fault:
        payloads(endpoint, word_level(), PROMPTS, timeout_s=10)
    assert said in str(fault.value)


def test_text_that_a_server_would_read_otherwise_is_not_sent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "the film </s> was warm"
    hostile = Prompt("h", text, " x", data=[(0, len(text))])
    with running(own("--text-only"), tmp_path / "log") as endpoint:
        sent = payloads(endpoint, word_level(), [*PROMPTS, hostile], timeout_s=10)
        assert sent.prompts == PROMPTS
        assert "1 of 6 prompts hold what it would turn into other tokens" in capfd.readouterr().err
        with pytest.raises(ServingError, match="no text becomes the tokens of these prompts"):
            payloads(endpoint, word_level(), [hostile], timeout_s=10)


@pytest.mark.parametrize("options", ["", "--text-only"])
def test_tokens_that_follow_a_prompt_end_it(options: str, tmp_path: Path) -> None:
    """`warm` and `film`, which all labels might begin with."""
    after = {"1": tuple(word_level()("warm film")["input_ids"])}
    with running(own(options), tmp_path / "log") as endpoint:
        sent = payloads(endpoint, word_level(), PROMPTS[:2], after, timeout_s=10)
    ids, text = ids_of(PROMPTS[:2]), PROMPTS[1].prompt
    expected: dict[bool, Any] = {
        False: [ids[0], [*ids[1], *after["1"]]],
        True: [PROMPTS[0].prompt, f"{text} warm film"],
    }
    assert sent.payloads == expected[bool(options)]


@pytest.mark.parametrize("kind", ["llama3", "llama2", "gemma", "gpt2"])
@pytest.mark.parametrize("ending", ["Answer:", "Answer: ", "Answer:\n", "\u7b54\u6848\uff1a"])
@pytest.mark.parametrize("lead", ["", " The answer is "])
def test_text_of_what_labels_share_becomes_its_tokens(kind: str, ending: str, lead: str) -> None:
    tokenizer = trained(kind)
    span = (len(lead), len(lead) + 1)
    prompt = Prompt("a", f"Was it good?\n{ending}", f"{lead}x", answer=span)
    contexts, [[one, other]] = encoding.answers(tokenizer, [prompt], ["1", "2"], ended=False)
    shared = one[: next(place for place in range(len(one)) if one[place] != other[place])]
    ids = [*contexts[0], *shared]
    [text] = _texts(tokenizer, [prompt], [tuple(ids)], {"a": shared})
    assert tokenizer(text)["input_ids"] == ids


# a tokenizer that marks the beginning of a text, and not what follows `<s>`, has no such text
@pytest.mark.parametrize("kind", ["llama3", "llama2", "gemma", "gpt2"])
def test_beginning_that_a_chat_template_writes_is_left_to_the_server(kind: str) -> None:
    tokenizer = trained(kind)
    chat = Prompt("a", "<s>user: It was.\nassistant:", " x", begin=False)
    plain = Prompt("b", "Was it good?\nAnswer: ", " x")
    bare = Prompt("c", "Was it good?", " x", begin=False)  # which no text becomes
    texts = _texts(
        tokenizer, [chat, plain, bare], encoding.contexts(tokenizer, [chat, plain, bare])
    )
    assert texts == ["user: It was.\nassistant:", "Was it good?\nAnswer:", None]
    for prompt, text in zip([chat, plain], texts, strict=False):
        served = tokenizer(text)["input_ids"]
        assert served == tokenization.encode(tokenizer, prompt.marked_prompt.without_last_blanks())
        assert served.count(tokenizer.bos_token_id) == 1
