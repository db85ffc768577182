"""`generation:` — the fields of `transformers.GenerationConfig` that evaluation accepts.

transformers checks most values only at the first generation, which is after training. Values that
would fail there, or have no effect, are refused here, with a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator

from tunebench.config import library, types
from tunebench.config.ranges import (
    BELOW_ONE,
    POSITIVE,
    SHARE,
    Range,
    at_least,
    between,
    out_of_range,
)
from tunebench.config.types import Type
from tunebench.errors import suggest

ONE_ANSWER = "each row has one answer, and that is all that is kept of a text"
ASSISTED = "it writes one row at a time, by another model's drafts or the prompt's own words"
ON_THE_HUB = "transformers loads it as remote code from the Hub, which is never run here"
ENCODER_DECODER = "it is for encoder-decoder models, and tunebench has none"
KEPT_ALIKE = "how keys and values are kept changes no text; see evaluation.batch_tokens for memory"
PROMPT_COUNTED = "it counts the prompt too, which differs from row to row and method to method"

REFUSED: dict[str, str] = {
    "max_length": f"{PROMPT_COUNTED}; use max_new_tokens",
    "min_length": f"{PROMPT_COUNTED}; use min_new_tokens",
    "max_time": "what is written would depend on the machine's speed; use max_new_tokens",
    "stop_strings": "evaluation does not look for them yet; end texts by max_new_tokens",
    "pad_token_id": "it is the tokenizer's",
    "bos_token_id": "it is the tokenizer's",
    "eos_token_id": (
        "texts end where the model, its tokenizer and the template end them; it would replace these"
    ),
    "forced_eos_token_id": "a text cut at its limit would look ended",
    "forced_bos_token_id": ENCODER_DECODER,
    "decoder_start_token_id": ENCODER_DECODER,
    "token_healing": "it rewrites the end of the prompt, on which the model was trained as it is",
    "num_return_sequences": ONE_ANSWER,
    "return_dict_in_generate": ONE_ANSWER,
    "output_attentions": ONE_ANSWER,
    "output_hidden_states": ONE_ANSWER,
    "output_scores": ONE_ANSWER,
    "output_logits": ONE_ANSWER,
    "cache_implementation": KEPT_ALIKE,
    "cache_config": KEPT_ALIKE,
    "max_cache_len": KEPT_ALIKE,
    "compile_config": "it takes an object of transformers, which YAML cannot hold",
    "continuous_batching_config": "it takes an object of transformers, which YAML cannot hold",
    "use_mtp": ASSISTED,
    "is_assistant": ASSISTED,
    "num_assistant_tokens": ASSISTED,
    "num_assistant_tokens_schedule": ASSISTED,
    "assistant_confidence_threshold": ASSISTED,
    "assistant_early_exit": ASSISTED,
    "assistant_lookbehind": ASSISTED,
    "assistant_ensemble_weight": ASSISTED,
    "target_lookbehind": ASSISTED,
    "speculation_type": ASSISTED,
    "prompt_lookup_num_tokens": ASSISTED,
    "max_matching_ngram_size": ASSISTED,
    "penalty_alpha": ON_THE_HUB,
    "dola_layers": ON_THE_HUB,
    "num_beam_groups": ON_THE_HUB,
    "diversity_penalty": ON_THE_HUB,
    "constraints": ON_THE_HUB,
    "force_words_ids": ON_THE_HUB,
    "low_memory": "transformers has given it up; lower evaluation.batch_tokens",
    "transformers_version": "it says who wrote a file, and sets nothing",
}
# values of refused fields that are accepted, since they have no effect
NEUTRAL = {"num_return_sequences": 1, "num_beam_groups": 1}

SOME: Range = ("a list with something in it", lambda value: len(value) > 0)
TOKENS: Range = ("token ids, each 0 or more", lambda value: all(each >= 0 for each in value))

# outside of these, transformers raises or silently ignores the field
RANGES: dict[str, Range] = {
    "max_new_tokens": at_least(1),
    "min_new_tokens": at_least(0),
    "num_beams": at_least(1),
    "no_repeat_ngram_size": at_least(0),
    "encoder_no_repeat_ngram_size": at_least(0),
    "prefill_chunk_size": at_least(1),
    "top_k": ("0 or more, where 0 keeps all tokens", lambda value: value >= 0),
    "top_p": SHARE,
    "top_h": SHARE,
    "typical_p": SHARE,
    "min_p": between(0, 1),
    "epsilon_cutoff": BELOW_ONE,
    "eta_cutoff": BELOW_ONE,
    "temperature": ("above 0; for greedy text leave it out", lambda value: value > 0),
    "repetition_penalty": POSITIVE,
    "encoder_repetition_penalty": POSITIVE,
    "early_stopping": ("true, false or never", lambda value: value in (True, False, "never")),
    "suppress_tokens": TOKENS,
    "begin_suppress_tokens": TOKENS,
    "bad_words_ids": (
        "lists of token ids, each 0 or more, as [[40, 41], [50]]",
        lambda value: value and all(ids and min(ids) >= 0 for ids in value),
    ),
    "exponential_decay_length_penalty": (
        "[the token where it begins, its factor], as [30, 1.05]",
        lambda value: len(value) == 2 and type(value[0]) is int and _is_number(value[1]),
    ),
    "sequence_bias": (
        "pairs of token ids and bias, as [[[40, 41], -5.0]]",
        lambda value: bool(value) and all(_is_bias(each) for each in value),
    ),
    "stop_strings": ("a text, or a list of them", lambda value: bool(value) and all(value)),
}
WATERMARK_RANGES: dict[str, Range] = {
    "greenlist_ratio": between(0, 1),
    "context_width": at_least(1),
}

# each with its neutral value, as in GenerationConfig.validate
SAMPLING = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
BEAMS = {"early_stopping": False, "length_penalty": 1.0}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bias(value: object) -> bool:
    match value:
        case [[*ids], bias] if ids and _is_number(bias):
            return all(type(token) is int and token >= 0 for token in ids)
    return False


def _type(name: str) -> Type:
    """The type in transformers' docstring, or null, each field's default."""
    overrides = {
        "prefill_chunk_size": Type(frozenset(["int"])),  # missing in the docstring
        "sequence_bias": Type(frozenset(["list"])),  # YAML has no tuples as keys
    }
    return replace(overrides.get(name) or library.generation_fields()[name], none=True)


def _fault(name: str, value: object) -> Iterator[str]:
    if name not in library.generation_fields():
        yield f"{name}: unknown key; {suggest(name, library.generation_fields())}"
        return
    if value is None or (value is False and name in REFUSED):
        return
    if name in REFUSED:
        if not (name in NEUTRAL and value == NEUTRAL[name]):
            yield f"{name}: cannot be set here; {REFUSED[name]}"
        return
    faults = types.faults(name, value, _type(name))
    if isinstance(value, dict) and not faults:
        watermark = library.watermarking_fields()
        faults = [f"{name}.{line}" for line in types.faults_of_mapping(value, watermark)]
        if not faults:
            faults = [
                line for item in value.items() for line in out_of_range(*item, WATERMARK_RANGES)
            ]
            faults = [f"{name}.{line}" for line in faults]
    yield from faults or out_of_range(name, value, RANGES)


def _generation(value: dict[str, Any]) -> dict[str, Any]:
    types.refuse([line for name, setting in value.items() for line in _fault(name, setting)])
    # refused ones that set nothing are left out: transformers takes not all of them as `false`
    fields = {name: _type(name) for name in value if name not in REFUSED}
    checked = types.with_floats({name: value[name] for name in fields}, fields)
    if checked.get("sequence_bias"):
        checked["sequence_bias"] = [[ids, float(bias)] for ids, bias in checked["sequence_bias"]]
    return checked


def combined(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each field of merged settings that has no effect in combination, with the reason.

    transformers warns of most, and refuses to save such a configuration for a server.
    """
    for enabled, options, condition in (
        (settings.get("do_sample") is True, SAMPLING, "do_sample: true"),
        ((settings.get("num_beams") or 1) > 1, BEAMS, "num_beams above 1"),
    ):
        for name, neutral in options.items():
            if not enabled and settings.get(name) is not None and settings[name] != neutral:
                remedy = f"set that, or {name}: null"
                yield name, f"{settings[name]!r} does nothing without {condition}; {remedy}"
    minimum, maximum = settings.get("min_new_tokens"), settings.get("max_new_tokens")
    if minimum is not None and maximum is not None and minimum > maximum:
        yield "min_new_tokens", f"{minimum} is more than max_new_tokens, {maximum}"


# fields of transformers.GenerationConfig
Generation = Annotated[dict[str, Any], AfterValidator(_generation)]
