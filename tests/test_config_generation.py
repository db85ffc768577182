"""`generation:` is refused where evaluation would die of it, and works where it is accepted."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of
from jobs import MakePrompts
from pydantic import TypeAdapter, ValidationError

from tunebench import config
from tunebench.answering import generation
from tunebench.config import generation_options, library
from tunebench.config.generation_options import BEAMS, REFUSED, SAMPLING, combined
from tunebench.config.options import Generation

PLACE = "evaluation.generation"
SAMPLE = {"do_sample": True}
BEAM = {"num_beams": 3}

FAULTS: list[tuple[str, Any, str]] = [
    ("max_tokens", 4, "max_tokens: unknown key; did you mean 'max_new_tokens'?"),
    ("temperature", "hot", "temperature: 'hot' is not of type float"),
    ("temperature", True, "temperature: True is not of type float"),
    ("temperature", 0, "temperature: 0 should be above 0; for greedy text leave it out"),
    ("temperature", -1.0, "temperature: -1.0 should be above 0; for greedy text leave it out"),
    ("temperature", float("inf"), "temperature: inf is no finite number"),
    ("max_new_tokens", "20", "max_new_tokens: '20' is not of type int"),
    ("max_new_tokens", 4.5, "max_new_tokens: 4.5 is not of type int"),
    ("max_new_tokens", 0, "max_new_tokens: 0 should be 1 or more"),
    ("min_new_tokens", -1, "min_new_tokens: -1 should be 0 or more"),
    ("do_sample", "maybe", "do_sample: 'maybe' is not of type bool"),
    ("do_sample", 1, "do_sample: 1 is not of type bool"),
    ("num_beams", 0, "num_beams: 0 should be 1 or more"),
    ("num_beams", 2.5, "num_beams: 2.5 is not of type int"),
    ("top_k", -1, "top_k: -1 should be 0 or more, where 0 keeps all tokens"),
    ("top_p", 0.0, "top_p: 0.0 should be above 0 and at most 1"),
    ("top_p", 1.5, "top_p: 1.5 should be above 0 and at most 1"),
    ("min_p", 1.5, "min_p: 1.5 should be from 0 to 1"),
    ("top_h", 0.0, "top_h: 0.0 should be above 0 and at most 1"),
    ("typical_p", 1.5, "typical_p: 1.5 should be above 0 and at most 1"),
    ("epsilon_cutoff", 1.5, "epsilon_cutoff: 1.5 should be 0 or more and below 1"),
    ("eta_cutoff", -0.1, "eta_cutoff: -0.1 should be 0 or more and below 1"),
    ("repetition_penalty", 0.0, "repetition_penalty: 0.0 should be above 0"),
    ("early_stopping", "always", "early_stopping: 'always' should be true, false or never"),
    ("no_repeat_ngram_size", "x", "no_repeat_ngram_size: 'x' is not of type int"),
    ("prefill_chunk_size", 0, "prefill_chunk_size: 0 should be 1 or more"),
    ("guidance_scale", "x", "guidance_scale: 'x' is not of type float"),
    ("suppress_tokens", ["a"], "suppress_tokens[0]: 'a' is not of type int"),
    ("suppress_tokens", [-1], "suppress_tokens: [-1] should be token ids, each 0 or more"),
    (
        "bad_words_ids",
        [],
        "bad_words_ids: [] should be lists of token ids, each 0 or more, as [[40, 41], [50]]",
    ),
    ("bad_words_ids", [40], "bad_words_ids[0]: 40 is not of type list"),
    ("bad_words_ids", [["a"]], "bad_words_ids[0][0]: 'a' is not of type int"),
    (
        "exponential_decay_length_penalty",
        [3],
        "exponential_decay_length_penalty: [3] should be [the token where it begins, its factor],"
        " as [30, 1.05]",
    ),
    (
        "sequence_bias",
        [[40, 1.0]],
        "sequence_bias: [[40, 1.0]] should be pairs of token ids and bias, as [[[40, 41], -5.0]]",
    ),
    ("sequence_bias", {"40": 1.0}, "sequence_bias: {'40': 1.0} is not of type list"),
    (
        "watermarking_config",
        {"greenlist_ration": 0.5},
        "watermarking_config.greenlist_ration: unknown key; did you mean 'greenlist_ratio'?",
    ),
    (
        "watermarking_config",
        {"seeding_scheme": "lefthsh"},
        "watermarking_config.seeding_scheme: 'lefthsh' is unknown; did you mean 'lefthash'?",
    ),
    (
        "watermarking_config",
        {"context_width": 0},
        "watermarking_config.context_width: 0 should be 1 or more",
    ),
    ("watermarking_config", [1], "watermarking_config: [1] is not of type dict"),
    (
        "num_return_sequences",
        2,
        "num_return_sequences: cannot be set here; each row has one answer, and that is all that is"
        " kept of a text",
    ),
    ("pad_token_id", 0, "pad_token_id: cannot be set here; it is the tokenizer's"),
    (
        "max_length",
        60,
        "max_length: cannot be set here; it counts the prompt too, which differs from row to row"
        " and method to method; use max_new_tokens",
    ),
]


@pytest.mark.parametrize(("field", "value", "expected"), FAULTS)
def test_fault_is_named(
    field: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, f"{PLACE}.{field}", value)
    assert f"{PLACE}.{expected}" in faults_of(valid, tmp_path)


@pytest.mark.parametrize("field", REFUSED)
def test_field_that_cannot_be_set(field: str, valid: dict[str, Any], tmp_path: Path) -> None:
    assert field in library.generation_fields()
    for nothing in (None, False):
        edit(valid, f"{PLACE}.{field}", nothing)
        assert faults_of(valid, tmp_path) == []
    edit(valid, f"{PLACE}.{field}", 2)
    reason = REFUSED[field]
    assert faults_of(valid, tmp_path) == [f"{PLACE}.{field}: cannot be set here; {reason}"]


# a value of each accepted field, and what it goes with
WORKING: dict[str, tuple[Any, dict[str, Any]]] = {
    "max_new_tokens": (4, {}),
    "min_new_tokens": (6, {}),
    "do_sample": (True, {}),
    "num_beams": (3, {}),
    "early_stopping": ("never", BEAM),
    "length_penalty": (2, BEAM),
    "temperature": (2, SAMPLE),
    "top_k": (2, SAMPLE),
    "top_p": (0.5, SAMPLE),
    "min_p": (0.2, SAMPLE),
    "top_h": (0.3, SAMPLE),
    "typical_p": (0.5, SAMPLE),
    "epsilon_cutoff": (0.05, SAMPLE),
    "eta_cutoff": (0.05, SAMPLE),
    "repetition_penalty": (2, {}),
    "encoder_repetition_penalty": (2, {}),
    "no_repeat_ngram_size": (1, {}),
    "encoder_no_repeat_ngram_size": (1, {}),
    "bad_words_ids": ("written", {}),
    "suppress_tokens": ("written", {}),
    "begin_suppress_tokens": ("written", {}),
    "sequence_bias": ("written", {}),
    "exponential_decay_length_penalty": ([2, 5], {}),
    "guidance_scale": (2, {}),
    "watermarking_config": ({"bias": 9}, {}),
    "renormalize_logits": (True, BEAM),
    "remove_invalid_values": (True, {}),
    "use_cache": (False, {}),
    "disable_compile": (True, {}),
    "prefill_chunk_size": (4, {}),
}
# which change how a text is computed, or which of several is taken, and not for this model
UNSEEN = {
    "min_new_tokens", "early_stopping", "length_penalty", "renormalize_logits",
    "remove_invalid_values", "use_cache", "disable_compile", "prefill_chunk_size",
    "encoder_no_repeat_ngram_size",
}  # fmt: skip


def test_every_accepted_field_has_a_value_that_works() -> None:
    assert set(WORKING) == set(library.generation_fields()) - set(REFUSED)


@pytest.fixture(scope="module")
def write(model: Any, tokenizer: Any, make_prompts: MakePrompts) -> Callable[..., list[Any]]:
    """What the tiny model writes with some options, as evaluation has it write."""
    import torch

    own = model.generation_config
    prompts = make_prompts(3) + make_prompts(1)  # of which two are of one length

    def written(options: dict[str, Any]) -> list[Any]:
        model.generation_config = copy.deepcopy(own)
        torch.manual_seed(0)
        try:
            given = {"do_sample": False, "max_new_tokens": 12} | options
            return generation.generate(model, tokenizer, prompts, given, batch_tokens=1000)
        finally:
            model.generation_config = own

    return written


@pytest.mark.parametrize("field", WORKING)
def test_accepted_field_works(
    field: str, write: Callable[..., list[Any]], tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import GenerationConfig

    value, beside = WORKING[field]
    plain = write(beside)
    if value == "written":
        first = tokenizer.encode(plain[0].text, add_special_tokens=False)[:3]
        every = list(range(4, 300))
        value = {
            "bad_words_ids": [[each] for each in first],
            "sequence_bias": [[[each], -50] for each in every],
        }.get(field, every)
    options = TypeAdapter(Generation).validate_python({**beside, field: value})
    assert list(combined(options)) == []
    texts = write(options)
    assert len(texts) == 4
    assert (texts != plain) or field in UNSEEN
    # which a server is given, and transformers looks at more sternly
    GenerationConfig(**options).save_pretrained(tmp_path)
    assert getattr(GenerationConfig.from_pretrained(tmp_path), field) is not None


@pytest.mark.parametrize("settings", [SAMPLING, BEAMS])
def test_what_does_nothing_is_what_transformers_finds(settings: dict[str, Any]) -> None:
    from transformers import GenerationConfig

    given = {"early_stopping": True, "top_k": 3}
    for name, neutral in settings.items():
        GenerationConfig(**{name: neutral}).validate(strict=True)
        asked = {"do_sample": False, "num_beams": 1, name: given.get(name, 0.5)}
        with pytest.raises(ValueError, match=name):
            GenerationConfig(**asked).validate(strict=True)
        assert [key for key, _ in combined(asked)] == [name]
        assert not list(combined(asked | {"do_sample": True, "num_beams": 2}))


def test_settings_of_two_levels_are_looked_at_together(
    valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, PLACE, {"temperature": 0.7})
    assert faults_of(valid, tmp_path) == [
        "evaluation.generation.temperature: 0.7 does nothing without do_sample: true; set that, or"
        " temperature: null"
    ]
    edit(valid, "datasets.reviews.generation", {"do_sample": True})
    assert faults_of(valid, tmp_path) == []
    edit(valid, PLACE, {"do_sample": True, "temperature": 0.7, "max_new_tokens": 8})
    edit(valid, "datasets.reviews.generation", {"do_sample": False, "min_new_tokens": 9})
    assert faults_of(valid, tmp_path) == [
        "evaluation.generation.temperature: 0.7 does nothing without do_sample: true; set that, or"
        " temperature: null",
        "datasets.reviews.generation.min_new_tokens: 9 is more than max_new_tokens, 8",
    ]
    edit(valid, "datasets.reviews.generation", {"do_sample": False, "temperature": None})
    assert faults_of(valid, tmp_path) == []


def test_integer_is_a_float_where_transformers_wants_one(
    valid: dict[str, Any], project: Any
) -> None:
    given = {"do_sample": True, "temperature": 2, "top_k": 5, "sequence_bias": [[[4], 1]]}
    edit(valid, PLACE, given)
    project.write_params(valid)
    found = config.load().evaluation.generation
    assert repr(found["temperature"]) == "2.0"
    assert repr(found["top_k"]) == "5"
    assert repr(found["sequence_bias"]) == "[[[4], 1.0]]"


def test_nearly_greedy_sampling_of_a_published_study_is_accepted() -> None:
    given = {"do_sample": True, "temperature": 1e-3, "num_return_sequences": 1}
    # what has no effect is not handed on
    expected = {"do_sample": True, "temperature": 1e-3}
    assert TypeAdapter(Generation).validate_python(given) == expected
    assert not list(combined(given))


@pytest.mark.parametrize(
    "value",
    [[], {}, [None], {"x": 1}, "", object(), -1, 1e400],
    ids=lambda value: type(value).__name__,
)
def test_no_value_of_any_field_is_a_crash(value: Any) -> None:
    refused = 0
    for field in library.generation_fields():
        try:
            TypeAdapter(Generation).validate_python({field: value})
        except ValidationError:
            refused += 1
    assert refused > len(library.generation_fields()) / 2
    assert set(generation_options.RANGES) <= set(library.generation_fields())
