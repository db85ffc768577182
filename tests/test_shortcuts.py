"""A faster way that a model refuses is left; memory that runs out is never taken for a refusal."""

from collections.abc import Callable
from typing import Any

import pytest

from tunebench.answering import generation, scoring
from tunebench.models import memory, shortcuts
from tunebench.prompts import Prompt, tokenization


def fails(error: BaseException) -> Callable[..., Any]:
    def work(*_: Any, **__: Any) -> Any:
        raise error

    return work


def exhausted() -> list[BaseException]:
    import torch

    return [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        MemoryError(),
    ]


def test_a_refusal_is_none() -> None:
    assert shortcuts.unless_refused(lambda: 5) == 5
    for kind in shortcuts.REFUSALS:
        assert shortcuts.unless_refused(fails(kind("unexpected argument"))) is None
    with pytest.raises(ZeroDivisionError):
        shortcuts.unless_refused(fails(ZeroDivisionError()))


@pytest.mark.parametrize("error", exhausted(), ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_no_refusal(error: BaseException) -> None:
    with pytest.raises(type(error)):
        shortcuts.unless_refused(fails(error))
    assert memory.unless_exhausted(fails(error)) is None
    assert memory.is_exhausted(error)


def test_any_other_error_is_raised() -> None:
    assert memory.unless_exhausted(lambda: 5) == 5
    for error in (RuntimeError("sizes differ"), ValueError("no")):
        with pytest.raises(type(error)):
            memory.unless_exhausted(fails(error))


@pytest.mark.parametrize("error", exhausted()[:2], ids=lambda error: type(error).__name__)
def test_scoring_and_generation_raise_it(
    error: BaseException,
    model: Any,
    tokenizer: Any,
    make_prompts: Callable[..., list[Prompt]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They keep to the plain way where a model refuses the fast one, not where memory runs out."""
    prompts, padding = make_prompts(4), tokenization.pad_id(tokenizer)
    labelled = scoring.questions(tokenizer, prompts, ["positive", "negative"])
    contexts = [question.context for question in labelled]
    options = {"max_new_tokens": 4, "do_sample": False}
    generation.configure(model, tokenizer, options)

    def scores() -> Any:
        return scoring.fastest_pass(model, padding, labelled)

    def text() -> Any:
        return generation.fastest_writer(model, padding, contexts, options)

    assert scores().name != "one_by_one"
    assert text().__name__ == "fast"
    for raised in (TypeError("unexpected argument"), error):
        monkeypatch.setattr(scoring.PrefixCache, "of", fails(raised))
        for choose in (scores, text):
            if raised is error:
                with pytest.raises(type(error)):
                    choose()
            else:
                assert getattr(choose(), "__name__", "one_by_one") != "fast"
