"""Greedy text equals a plain reference, token by token, at any batch size."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tunebench.answering import generation
from tunebench.answering.generation.greedy import Writer
from tunebench.answering.prefix_cache import PrefixCache
from tunebench.prompts import Prompt, batching, encoding, tokenization

LIMIT = 12


@pytest.fixture(autouse=True)
def own_generation_config(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`configure` changes the model that all tests share."""
    monkeypatch.setattr(model, "generation_config", model.generation_config)


def reference(model: Any, tokenizer: Any, prompt: Prompt, end: int) -> list[int]:
    import torch

    [ids] = map(list, encoding.contexts(tokenizer, [prompt]))
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < LIMIT and end not in written:
            logits = model(input_ids=torch.tensor([ids + written])).logits
            written.append(int(logits[0, -1].argmax()))
    return written


@pytest.mark.parametrize("batch_tokens", [1, 90, 10_000])
def test_greedy_text_equals_the_reference(
    batch_tokens: int, model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(8)
    options = {"do_sample": False, "max_new_tokens": LIMIT}
    texts = generation.generate(model, tokenizer, prompts, options, batch_tokens=batch_tokens)
    for prompt, text in zip(prompts, texts, strict=True):
        written = reference(model, tokenizer, prompt, tokenizer.eos_token_id)
        assert text.tokens == len(written)
        assert text.text == tokenizer.decode(written, skip_special_tokens=True).strip()
    assert len({text.text for text in texts}) > 4


def test_text_stops_at_the_end_token(
    model: Any, model_folder: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    ending = tokenization.load(model_folder)
    prompts = make_prompts(4)
    plain = reference(model, ending, prompts[0], ending.eos_token_id)
    # take a token that the model is known to write for the end of sequence
    ending.eos_token = ending.convert_ids_to_tokens(plain[4])
    options = {"do_sample": False, "max_new_tokens": LIMIT}
    texts = generation.generate(model, ending, prompts, options, batch_tokens=512)
    first = plain.index(plain[4])
    assert texts[0].tokens == first + 1 < LIMIT
    assert texts[0].text == ending.decode(plain[:first], skip_special_tokens=True).strip()


def test_limit_of_new_tokens(
    model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    for limit in (1, 5):
        options = {"do_sample": False, "max_new_tokens": limit}
        texts = generation.generate(model, tokenizer, make_prompts(2), options, batch_tokens=512)
        assert [text.tokens for text in texts] == [limit, limit]


def test_options_go_over_what_model_and_tokenizer_say(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "generation_config", model.generation_config)
    config = generation.configure(model, tokenizer, {"max_new_tokens": 7, "eos_token_id": 9})
    assert (config.max_new_tokens, config.eos_token_id) == (7, 9)
    assert (config.bos_token_id, config.pad_token_id) == (1, 3)


def test_the_models_own_generation_settings_count_for_its_end_tokens_only(
    model: Any,
    tokenizer: Any,
    make_prompts: Callable[..., list[Prompt]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import GenerationConfig

    prompts = make_prompts(4)
    options = {"do_sample": False, "max_new_tokens": LIMIT}
    plain = reference(model, tokenizer, prompts[0], tokenizer.eos_token_id)
    own = GenerationConfig(repetition_penalty=9.0, eos_token_id=[plain[4]])
    monkeypatch.setattr(model, "generation_config", own)

    texts = generation.generate(model, tokenizer, prompts, options, batch_tokens=512)

    first = plain.index(plain[4])
    assert texts[0].tokens == first + 1 < LIMIT
    assert texts[0].text == tokenizer.decode(plain[:first], skip_special_tokens=True).strip()


def way_taken(subject: Any, tokenizer: Any, prompts: list[Prompt]) -> str:
    """The name of the way that was taken; its texts are those of whole passes, one by one."""
    options = {"do_sample": False, "max_new_tokens": LIMIT}
    generation.configure(subject, tokenizer, options)
    ids = encoding.contexts(tokenizer, prompts)
    write = generation.fastest_writer(subject, tokenizer.pad_token_id, ids, options)
    for prompt, written in zip(prompts, write(ids), strict=True):
        expected = reference(subject, tokenizer, prompt, tokenizer.eos_token_id)
        assert written[: len(expected)] == expected
    return str(write.__name__)


def test_adapters_write_as_the_reference(
    answering: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    assert way_taken(answering, tokenizer, make_prompts(7)) == "fast"


# a state space model has no keys and values
WAYS = {"mistral": "fast", "gpt_neox": "fast", "bloom": "fast", "gpt2": "fast", "mamba": "plain"}


def test_architectures_write_as_the_reference(
    architecture: tuple[str, Any], tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    name, random = architecture
    assert way_taken(random, tokenizer, make_prompts(5)) == WAYS[name]


def test_rows_that_end_leave_the_batch(
    model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    import torch

    prompts = make_prompts(8)
    ids = encoding.contexts(tokenizer, prompts)
    with torch.inference_mode():
        beginning = PrefixCache.of(model, ids, share=True)
        whole = Writer(beginning, 3, frozenset(), 30).write(ids)
        common = Counter(token for row in whole for token in set(row))
        ends = frozenset(token for token, rows in common.items() if 2 <= rows <= 4)
        sizes: list[int] = []
        handle = model.register_forward_pre_hook(
            lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True
        )
        try:
            short = Writer(beginning, 3, ends, 30).write(ids)
        finally:
            handle.remove()
    for row, all_of_it in zip(short, whole, strict=True):
        end = next((place for place, token in enumerate(all_of_it) if token in ends), 29)
        assert row == all_of_it[: end + 1]
    assert sizes[0] == 8 > sizes[-1]


@pytest.mark.parametrize("longest_first", [True, False])
def test_rows_read_together_are_padded_to_their_own_longest(
    longest_first: bool, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    draw, shared = random.Random(3), list(range(10, 30))
    rests = sorted((14, 9, 6, 3, 2, 1), reverse=longest_first)
    ids = [shared + [draw.randrange(30, 300) for _ in range(count)] for count in rests]
    monkeypatch.setattr(batching, "CPU_BATCH_TOKENS", 16)
    read: list[int] = []
    with torch.inference_mode():
        prefix = PrefixCache.of(model, ids, share=True)
        assert prefix.tokens == len(shared)
        writer = Writer(prefix, 3, frozenset(), LIMIT)
        alone = [writer.write([row])[0] for row in ids]
        handle = model.register_forward_pre_hook(
            lambda _, __, given: read.append(given["input_ids"].numel()), with_kwargs=True
        )
        try:
            assert writer.write(ids) == alone
        finally:
            handle.remove()
    reads = read[: -(LIMIT - 1)]
    assert len(reads) > 2 and max(reads) <= max(16, *rests)
    assert sum(rests) <= sum(reads) < len(ids) * max(rests)


def test_settings_that_the_loop_does_not_know_go_to_generate(
    model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    ids = encoding.contexts(tokenizer, make_prompts(3))
    for own in ({"repetition_penalty": 1.3}, {"num_beams": 2}, {"do_sample": True}):
        options = {"do_sample": False, "max_new_tokens": 4} | own
        generation.configure(model, tokenizer, options)
        assert generation.fastest_writer(model, 3, ids, options).__name__ == "plain"


def test_as_many_tokens_as_are_asked_for(
    model: Any, tokenizer: Any, make_prompts: Callable[..., list[Prompt]]
) -> None:
    prompts = make_prompts(4)
    plain = reference(model, tokenizer, prompts[0], tokenizer.eos_token_id)
    options = {"do_sample": False, "max_new_tokens": LIMIT, "min_new_tokens": LIMIT}
    generation.configure(model, tokenizer, options | {"eos_token_id": [plain[0]]})
    ids = encoding.contexts(tokenizer, prompts)
    write = generation.fastest_writer(model, 3, ids, options)
    assert [len(row) for row in write(ids)] == [LIMIT] * 4
