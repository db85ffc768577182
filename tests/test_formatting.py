"""Prompts of a whole file: what fits, what does not, and labels that a tokenizer can tell apart."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from projects import Project, run_stage

from stages import check, download, evaluate, fetch_model, format_prompts, time_inference
from tunebench import config, formatting, paths, prompts, results
from tunebench.errors import PromptError, SourceError
from tunebench.paths import Run
from tunebench.prompts import encoding, tokenization
from tunebench.report import comparisons, confusion, summary

FEW = Run("tiny", "reviews", "few_shot")


@pytest.fixture
def fetched(project: Project, valid: dict[str, Any]) -> Project:
    """A project whose rows and model have been fetched."""
    prepare(project, valid)
    return project


def prepare(project: Project, params: dict[str, Any]) -> None:
    project.write_params(params)
    run_stage(check, Run())
    run_stage(download, Run(dataset="reviews"))
    run_stage(fetch_model, Run("tiny"))


def test_examples_that_do_not_fit_are_a_result(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots"] = 20
    fetched.write_params(valid)
    for stage in (format_prompts, evaluate, time_inference):
        run_stage(stage, FEW)
    found = results.read(paths.evaluation(FEW))
    assert found["does_not_fit"] is True
    assert found["tokens_available"] == 128
    assert found["tokens_needed"] > 20 * 8
    assert results.read(paths.prompts_metrics(FEW)) == found
    assert results.read(paths.timing(FEW)) == found
    assert paths.predictions(FEW).read_text() == ""
    with pytest.raises(SourceError, match=r"holds no training rows; remove it"):
        prompts.read_subset(paths.prompts(FEW))


def test_each_seed_draws_examples_of_its_own(fetched: Project, valid: dict[str, Any]) -> None:
    valid["grid"]["seeds"] = [0, 1, 2]
    valid["grid"] |= {"tuning": [], "train_sizes": []}
    fetched.write_params(valid)
    zero = Run("tiny", "reviews", "zero_shot")
    for run in (FEW, zero):
        for stage in (format_prompts, evaluate):
            run_stage(stage, run)
        results.write(paths.timing(run), {"requests_per_s_batch_1": 1.0})
    draws = prompts.read_draws(paths.prompts(FEW))
    assert isinstance(draws, list)
    assert prompts.read(paths.prompts(FEW)) == draws[0]
    assert len({draw[0].prompt for draw in draws}) == len(draws) == 3
    assert [[prompt.id for prompt in draw] for draw in draws] == [
        [prompt.id for prompt in draws[0]]
    ] * 3
    assert results.read(paths.prompts_metrics(FEW))["draws"] == 3
    assert "draws" not in results.read(paths.prompts_metrics(zero))

    params = config.load()
    found = {record.method: record for record in summary.collect(params)}
    accuracies = [
        draw["accuracy"] for draw in results.read(paths.evaluation(FEW))["draws"].values()
    ]
    assert (found["few_shot"].seeds, found["zero_shot"].seeds) == (3, 1)
    assert found["few_shot"].quality["accuracy"] == pytest.approx(fmean(accuracies), rel=1e-4)
    assert "accuracy_stdev" in found["few_shot"].quality
    (compared,) = comparisons.build(params)["comparisons"]
    zero_shot = results.read(paths.evaluation(zero))["accuracy"]
    difference = zero_shot - fmean(accuracies)
    assert compared["difference"] == pytest.approx(difference, abs=1e-3)
    few = [row for row in confusion.build(params) if row["panel"].endswith("few_shot")]
    assert sum(row["rows"] for row in few) == len(draws[0])  # the first draw's


def test_tokens_needed_are_enough(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots"] = 20
    fetched.write_params(valid)
    run_stage(format_prompts, FEW)
    needed = results.read(paths.prompts_metrics(FEW))["tokens_needed"]
    pin = results.read(paths.pin("tiny"))
    for context, fits in ((needed, True), (needed - 1, False)):
        results.write(paths.pin("tiny"), pin | {"context_length": context})
        run_stage(format_prompts, FEW)
        assert isinstance(prompts.read(paths.prompts(FEW)), list) == fits


@pytest.mark.parametrize("run", [Run("tiny", "reviews", "zero_shot"), Run("tiny", "reviews")])
def test_instruction_that_does_not_fit_is_a_fault(
    run: Run, fetched: Project, valid: dict[str, Any]
) -> None:
    valid["datasets"]["reviews"]["max_length"] = 12
    fetched.write_params(valid)
    with pytest.raises(PromptError, match=r"row test-\d: .* tokens where 12 fit; use fewer shots"):
        run_stage(format_prompts, run)
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
        run_stage(format_prompts, Run("tiny", "reviews"))


def test_fault_of_a_template_names_it(project: Project, valid: dict[str, Any]) -> None:
    valid["templates"]["short"] = {"messages": [{"role": "user", "content": "{text}"}]}
    prepare(project, valid)
    with pytest.raises(PromptError) as caught:
        run_stage(format_prompts, Run("tiny", "reviews"))
    assert str(caught.value) == (
        "params.yaml: templates.short: for tiny: the tokenizer has no chat template; use a template"
        " with a prompt, or put a chat_template.jinja into the model's folder"
    )


def test_examples_in_the_sources_order(fetched: Project, valid: dict[str, Any]) -> None:
    valid["methods"]["few_shot"]["shots_order"] = "source"
    fetched.write_params(valid)
    run_stage(format_prompts, FEW)
    (first, *_) = prompts.read(paths.prompts(FEW))
    lines = Path("train.csv").read_text().splitlines()[1:3]
    examples = [line.split(",") for line in lines]
    assert first.prompt.startswith(
        "Judge the review.\n"
        + "".join(f"Text: {text.strip(chr(34))}\nAnswer: {label}\n" for text, label in examples)
    )


def test_rows_are_formatted_in_batches(fetched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("tiny", "reviews")
    run_stage(format_prompts, run)
    whole = prompts.read(paths.prompts(run))
    monkeypatch.setattr(formatting, "ROWS_AT_ONCE", 3)
    run_stage(format_prompts, run)
    assert prompts.read(paths.prompts(run)) == whole
    assert len(whole) == 8


def test_virtual_tokens_count_where_prompts_are_cut(
    fetched: Project, valid: dict[str, Any]
) -> None:
    """For all methods, since all see the same prompts."""
    for split in ("train", "test"):
        rows = [{"text": "a dull story " * 60, "label": label} for label in ("no", "yes")] * 3
        (fetched.folder / f"{split}.json").write_text(json.dumps(rows))
    valid["datasets"]["reviews"]["path"] = {"train": "train.json", "test": "test.json"}
    prepare(fetched, valid)
    longest = []
    for adapter in ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 10}, {"peft_type": "CPT",
                    "cpt_token_ids": [1, 2, 3], "cpt_mask": [1, 1, 1],
                    "cpt_tokens_type_mask": [1, 2, 4]}, None):  # fmt: skip
        valid["methods"]["virtual"] = {"kind": "peft", "adapter": adapter}
        valid["grid"]["tuning"] = ["lora", "virtual"] if adapter else ["lora"]
        if adapter is None:
            del valid["methods"]["virtual"]
        fetched.write_params(valid)
        run_stage(check, Run())
        for run in (Run("tiny", "reviews"), Run("tiny", "reviews", "zero_shot")):
            run_stage(format_prompts, run)
        rows = prompts.read(paths.prompts(Run("tiny", "reviews")))
        assert rows == prompts.read(paths.prompts(Run("tiny", "reviews", "zero_shot")))
        assert isinstance(rows, list)
        longest.append(max(row.tokens + row.answer_tokens for row in rows))
        assert results.read(paths.VIRTUAL_TOKENS) == {
            "virtual_tokens": (10, 3, 0)[len(longest) - 1]
        }
    assert longest[0] <= 118
    assert longest[1] <= 125
    assert 125 < longest[2] <= 128


def test_virtual_tokens_that_leave_no_room_are_a_fault(
    fetched: Project, valid: dict[str, Any]
) -> None:
    valid["methods"]["lora"] = {
        "kind": "peft", "adapter": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 128}
    }  # fmt: skip
    fetched.write_params(valid)
    with pytest.raises(PromptError, match="tokens where 0 fit"):
        run_stage(format_prompts, Run("tiny", "reviews"))


def summaries(project: Project, valid: dict[str, Any]) -> dict[str, Any]:
    """A data set of summaries: of 200 rows two are long, the rest are of one to ten words."""
    words = [
        ("warm " * (60 if place in (7, 70) else place % 10 + 1)).strip() for place in range(200)
    ]
    for split, chosen in (("train", words), ("test", words[:5])):
        rows = [{"text": f"film {place}", "summary": text} for place, text in enumerate(chosen)]
        (project.folder / f"{split}.json").write_text(json.dumps(rows))
    valid["datasets"]["reviews"] |= {
        "path": {"train": "train.json", "test": "test.json"},
        "task": "summarization",
        "columns": {"text": "text", "summary": "summary"},
    }
    return valid


def test_answers_may_be_as_long_as_training_answers_are(
    project: Project, valid: dict[str, Any]
) -> None:
    """But for the longest hundredth; with the template's words around them, and their end."""
    valid = summaries(project, valid)
    valid["templates"]["short"]["completion"] = "In short: {completion}"
    prepare(project, valid)
    for run in (Run("tiny", "reviews"), Run("tiny", "reviews", "zero_shot")):
        run_stage(format_prompts, run)
        rows = prompts.read(paths.prompts(run))
        assert isinstance(rows, list)
        tokenizer = tokenization.load(project.folder / "model")
        [(_, ten)] = encoding.completions(
            tokenizer,
            [replace(rows[0], completion="In short: " + "warm " * 9 + "warm", answer=(10, 59))],
        )
        assert {row.answer_tokens for row in rows} == {len(ten)}
    valid["datasets"]["reviews"]["generation"] = {"max_new_tokens": 7}
    project.write_params(valid)
    run_stage(format_prompts, Run("tiny", "reviews"))
    rows = prompts.read(paths.prompts(Run("tiny", "reviews")))
    assert isinstance(rows, list)
    assert {row.answer_tokens for row in rows} == {7}


def test_a_token_that_the_model_has_no_embedding_for_is_a_fault(
    fetched: Project, valid: dict[str, Any]
) -> None:
    pin = results.read(paths.pin("tiny"))
    results.write(paths.pin("tiny"), pin | {"vocabulary_size": 300})
    with pytest.raises(PromptError, match=r"the tokenizer's token .* has the number 3\d\d, and"):
        run_stage(format_prompts, Run("tiny", "reviews"))
    results.write(paths.pin("tiny"), pin | {"vocabulary_size": 2})
    with pytest.raises(PromptError, match=r"the tokenizer's token '</s>' has the number 2, and"):
        run_stage(format_prompts, Run("tiny", "reviews"))


def test_labels_of_which_one_begins_another_need_an_end(
    project: Project, valid: dict[str, Any]
) -> None:
    settings = project.folder / "model" / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    del told["eos_token"]
    settings.write_text(json.dumps(told))
    valid["datasets"]["reviews"]["label_names"] = {"positive": "x", "negative": "x y"}
    prepare(project, valid)
    with pytest.raises(PromptError, match="one label begins another, and nothing ends an answer"):
        run_stage(format_prompts, Run("tiny", "reviews"))
