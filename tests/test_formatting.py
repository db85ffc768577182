"""Prompts of a whole file: what fits, what does not, and labels that a tokenizer can tell apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from projects import Project

from stages import check, download, evaluate, fetch_model, format_prompts, time_inference
from tunebench import formatting, paths, prompts, results
from tunebench.errors import PromptError, SourceError
from tunebench.paths import Run

FEW = Run("tiny", "reviews", "few_shot")


@pytest.fixture
def fetched(project: Project, valid: dict[str, Any]) -> Project:
    """A project whose rows and model have been fetched."""
    prepare(project, valid)
    return project


def prepare(project: Project, params: dict[str, Any]) -> None:
    project.write_params(params)
    check.main(Run())
    download.main(Run(dataset="reviews"))
    fetch_model.main(Run("tiny"))


def test_examples_that_do_not_fit_are_a_result(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots"] = 20
    fetched.write_params(valid)
    for stage in (format_prompts, evaluate, time_inference):
        stage.main(FEW)
    found = results.read(paths.evaluation(FEW))
    assert found["does_not_fit"] is True
    assert found["tokens_available"] == 128
    assert found["tokens_needed"] > 20 * 8
    assert results.read(paths.prompts_metrics(FEW)) == found
    assert results.read(paths.timing(FEW)) == found
    assert paths.predictions(FEW).read_text() == ""
    with pytest.raises(SourceError, match=r"holds no training rows; remove it"):
        prompts.read_subset(paths.prompts(FEW))


def test_tokens_needed_are_enough(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots"] = 20
    fetched.write_params(valid)
    format_prompts.main(FEW)
    needed = results.read(paths.prompts_metrics(FEW))["tokens_needed"]
    pin = results.read(paths.pin("tiny"))
    for context, fits in ((needed, True), (needed - 1, False)):
        results.write(paths.pin("tiny"), pin | {"context_length": context})
        format_prompts.main(FEW)
        assert isinstance(prompts.read(paths.prompts(FEW)), list) == fits


@pytest.mark.parametrize("run", [Run("tiny", "reviews", "zero_shot"), Run("tiny", "reviews")])
def test_instruction_that_does_not_fit_is_a_fault(
    run: Run, fetched: Project, valid: dict[str, Any]
) -> None:
    valid["datasets"]["reviews"]["max_length"] = 12
    fetched.write_params(valid)
    with pytest.raises(PromptError, match=r"row test-\d: .* tokens where 12 fit; use fewer shots"):
        format_prompts.main(run)
    assert not paths.prompts(run).exists()


def test_labels_that_are_the_same_tokens(project: Project, valid: dict[str, Any]) -> None:
    # a tokenizer that knows no letter but those of the demo's own words
    folder = project.folder / "blind"
    folder.mkdir()
    for file in (project.folder / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    state = json.loads((folder / "tokenizer.json").read_text())
    state["model"]["vocab"] = {
        token: index for token, index in state["model"]["vocab"].items() if token.isascii()
    }
    state["model"] |= {"merges": [], "unk_token": "<s>", "byte_fallback": False}
    (folder / "tokenizer.json").write_text(json.dumps(state))
    valid["models"]["tiny"]["path"] = "blind"
    valid["datasets"]["reviews"]["label_names"] = {"positive": "好", "negative": "悪"}
    prepare(project, valid)
    with pytest.raises(PromptError, match=r"labels '.' and '.' are the same tokens"):
        format_prompts.main(Run("tiny", "reviews"))


def test_fault_of_a_template_names_it(project: Project, valid: dict[str, Any]) -> None:
    valid["templates"]["short"] = {"messages": [{"role": "user", "content": "{text}"}]}
    prepare(project, valid)
    with pytest.raises(PromptError) as caught:
        format_prompts.main(Run("tiny", "reviews"))
    assert str(caught.value) == (
        "params.yaml: templates.short: for tiny: the tokenizer has no chat template; use a template"
        " with a prompt, or put a chat_template.jinja into the model's folder"
    )


def test_examples_in_the_sources_order(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots_order"] = "source"
    fetched.write_params(valid)
    format_prompts.main(FEW)
    (first, *_) = prompts.read(paths.prompts(FEW))
    lines = Path("train.csv").read_text().splitlines()[1:3]
    examples = [line.split(",") for line in lines]
    assert first.prompt.startswith(
        "Judge the review.\n"
        + "".join(f"Text: {text.strip(chr(34))}\nAnswer: {label}\n" for text, label in examples)
    )


def test_rows_are_formatted_in_batches(fetched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("tiny", "reviews")
    format_prompts.main(run)
    whole = prompts.read(paths.prompts(run))
    monkeypatch.setattr(formatting, "ROWS_AT_ONCE", 3)
    format_prompts.main(run)
    assert prompts.read(paths.prompts(run)) == whole
    assert len(whole) == 8
