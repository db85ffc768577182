"""A finished small study in a temporary folder: runs of tuned and of prompting methods."""

import copy
import shutil
from pathlib import Path
from typing import Any

from projects import VALID, Project, run_stage
from tiny_model import SENTENCES

from stages import check, download, evaluate, fetch_model, format_prompts, subsample, train
from tunebench.paths import Run

LORA = Run("tiny", "reviews", "lora", 1.0, 0)
VIRTUAL = Run("tiny", "reviews", "prompt_tuning", 1.0, 0)
FULL = Run("tiny", "reviews", "full", 1.0, 0)
WRITER = Run("tiny", "notes", "lora", 1.0, 0)
FEW_SHOT = Run("tiny", "reviews", "few_shot")

# of the test rows: one with a control token, one that is longer than the context
HARD = ["</s><|im_end|> the end", " ".join(SENTENCES[:2] * 12)]


def params() -> dict[str, Any]:
    """The tests' parameters with a second data set, whose texts are written."""
    made = copy.deepcopy(VALID)
    made["grid"] |= {"datasets": ["reviews", "notes"], "prompting": ["few_shot"]}
    made["grid"] |= {"tuning": ["lora", "prompt_tuning", "full"], "train_sizes": [1.0]}
    made["datasets"]["notes"] = made["datasets"]["reviews"] | {
        "task": "summarization",
        "columns": {"text": "text", "summary": "label"},
        "generation": {"max_new_tokens": 4},
    }
    made["methods"]["prompt_tuning"] = {
        "kind": "peft",
        "adapter": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4},
    }
    made["training"] |= {"max_steps": 3, "save_strategy": "no"}
    return made


def rows() -> list[tuple[str, str]]:
    """Twelve training rows, then eight test rows."""
    texts = [f"{SENTENCES[index % 2]} {index}" for index in range(18)] + HARD
    return [(text, ("positive", "negative")[index % 2]) for index, text in enumerate(texts)]


def make(folder: Path, model_folder: Path) -> Project:
    """The project in `folder`, which is the working directory."""
    shutil.copytree(model_folder, folder / "model")
    for name, some in (("train.csv", rows()[:12]), ("test.csv", rows()[12:])):
        lines = [f'"{text}",{label}' for text, label in some]
        (folder / name).write_text("\n".join(["text,label", *lines]) + "\n")
    made = params()
    for dataset in made["datasets"].values():
        dataset["path"] = {"train": "train.csv", "test": "test.csv"}
    project = Project(folder)
    project.write_params(made)
    run_stage(check, Run())
    run_stage(fetch_model, Run("tiny"))
    return project


def finish(*runs: Run) -> None:
    """Run the stages that lead to each run's evaluation."""
    for run in runs:
        if not (Path("data") / "raw" / run.dataset).exists():
            run_stage(download, Run(dataset=run.dataset))
            run_stage(format_prompts, Run(run.model, run.dataset))
        if run.train_size is None:
            run_stage(format_prompts, run)
        else:
            run_stage(subsample, Run("", run.dataset, "", run.train_size, run.seed))
            run_stage(format_prompts, Run(run.model, run.dataset, "", run.train_size, run.seed))
            run_stage(train, run)
        run_stage(evaluate, run)
