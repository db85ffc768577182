"""A request is timed as the evaluation answers it, or with a given number of tokens."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from projects import run_stage

from stages import check
from tunebench import config, paths, results
from tunebench.answering import generation
from tunebench.config.timed import GREEDY, TimedAnswers
from tunebench.errors import EvaluationError
from tunebench.paths import Run
from tunebench.prompts import Prompt, encoding
from tunebench.timing.requests import TimedModel

MakePrompts = Callable[..., list[Prompt]]


def subject_of(model: Any, tokenizer: Any, prompts: Sequence[Prompt], tokens: int) -> TimedModel:
    return TimedModel.of(model, tokenizer, prompts, labels=[], new_tokens=tokens)


def writing_of(subject: TimedModel) -> Any:
    """How it writes; with a clock."""
    assert subject.writing
    return subject.writing


def test_each_token_is_timed_whatever_writes_it(
    answering: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(3)
    subject = subject_of(answering, tokenizer, prompts, 6)
    for prompt in prompts:
        single = subject.single(prompt)
        moments = writing_of(subject).clock.moments
        assert len(moments) == 6
        assert sorted(moments) == moments
        assert single.time_per_output_token is not None
        assert 0 < single.time_to_first_token < single.latency
        written = single.time_to_first_token + 5 * single.time_per_output_token
        assert written <= single.latency
    assert not answering.get_output_embeddings()._forward_hooks


def test_other_architectures_are_timed_too(
    architecture: tuple[str, Any], tokenizer: Any, make_prompts: MakePrompts
) -> None:
    _, model = architecture
    prompts = make_prompts(3)
    subject = subject_of(model, tokenizer, prompts, 4)
    assert len(subject.batch(prompts)) == 3
    subject.single(prompts[0])
    assert len(writing_of(subject).clock.moments) == 4


def test_text_goes_on_behind_its_end(model: Any, tokenizer: Any, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(2)
    subject = subject_of(model, tokenizer, prompts, 8)
    (ids,) = writing_of(subject).write(encoding.contexts(tokenizer, prompts[:1]))
    ended = subject_of(model, ending(model, tokenizer, prompts, 2), prompts, 8)
    assert ids[2] in writing_of(ended).eos_ids
    answer = ended.single(prompts[0]).answer
    assert len(writing_of(ended).clock.moments) == answer.tokens == 8
    whole = tokenizer.decode(ids[: ids.index(ids[2])], skip_special_tokens=True)
    assert answer.text == whole.strip()
    assert answer != subject.single(prompts[0]).answer


def test_tokens_that_cannot_be_told_apart_are_an_error(
    model: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(2)
    subject = subject_of(model, tokenizer, prompts, 3)
    writing_of(subject).clock._layer = model.model.layers  # which is a list, and never called
    with pytest.raises(EvaluationError, match="ran 0 times for 3 tokens"):
        subject.single(prompts[0])


# texts of their own length ----------------------------------------------------------------------


def ending(model: Any, tokenizer: Any, prompts: Sequence[Prompt], place: int) -> Any:
    """A tokenizer whose end of text is what the model writes at that place of the first answer."""
    (ids,) = writing_of(subject_of(model, tokenizer, prompts, 12)).write(
        encoding.contexts(tokenizer, prompts[:1])
    )
    made = copy.deepcopy(tokenizer)
    made.eos_token = tokenizer.convert_ids_to_tokens(ids[place])
    return made


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False, "max_new_tokens": 12},
        {"do_sample": False, "max_new_tokens": 12, "repetition_penalty": 1.3},
        {"do_sample": False, "max_new_tokens": 12, "num_beams": 2},
    ],
)
def test_text_is_timed_as_it_is_evaluated(
    options: dict[str, Any], answering: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(6)
    ends = ending(answering, tokenizer, prompts, 3)
    evaluated = generation.generate(answering, ends, prompts, options, batch_tokens=10_000)
    assert 12 in {text.tokens for text in evaluated} or len({*evaluated}) > 1
    subject = TimedModel.of(answering, ends, prompts, labels=[], new_tokens=None, options=options)
    singles = [subject.single(prompt) for prompt in prompts]
    assert [single.answer for single in singles] == evaluated == subject.batch(prompts)
    for single in singles:
        stepwise = "num_beams" not in options
        assert (single.time_to_first_token is not None) == stepwise
        several = stepwise and single.answer.tokens > 1
        assert (single.time_per_output_token is not None) == several


def test_limit_of_a_text_is_that_of_the_evaluation(
    model: Any, tokenizer: Any, make_prompts: MakePrompts
) -> None:
    prompts = [replace(prompt, answer_tokens=5) for prompt in make_prompts(2)]
    subject = TimedModel.of(model, tokenizer, prompts, labels=[], new_tokens=None)
    assert max(text.tokens for text in subject.batch(prompts)) == 5


# what a timing depends on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "new_tokens", "expected"),
    [
        ("score", None, TimedAnswers("always", None)),
        ("score", 4, TimedAnswers("always", None)),
        ("generate", None, TimedAnswers(None, GREEDY | {"max_new_tokens": 7})),
        ("generate", 4, TimedAnswers(None, GREEDY)),
    ],
)
def test_timing_depends_on_what_it_uses(
    mode: str,
    new_tokens: int | None,
    expected: TimedAnswers,
    project: Any,
    valid: dict[str, Any],
) -> None:
    valid["evaluation"] |= {"mode": mode, "label_end": "always"}
    valid["datasets"]["reviews"]["generation"] = {"max_new_tokens": 7}
    valid["inference"]["new_tokens"] = new_tokens
    project.write_params(valid)
    assert TimedAnswers.of(config.load(), "reviews") == expected
    run_stage(check, Run())
    tracked = results.read(paths.timing_settings("reviews"))
    assert (tracked["label_end"], tracked["generation"]) == (
        expected.label_end,
        expected.generation,
    )
    assert tracked["new_tokens"] == new_tokens
    assert "load_test" not in tracked
