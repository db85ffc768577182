"""A temporary project to run stages in: its parameters, without a fault, and its folder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML

from tunebench import results
from tunebench.paths import Run

ROOT = Path(__file__).parents[1]

VALID: dict[str, Any] = {
    "study": "small",
    "grid": {
        "models": ["tiny"],
        "datasets": ["reviews"],
        "prompting": ["zero_shot", "few_shot"],
        "tuning": ["lora"],
        "train_sizes": [0.5, 1.0],
        "seeds": [0],
    },
    "models": {"tiny": {"path": "model"}},
    "datasets": {
        "reviews": {
            "path": {"train": "train.csv", "test": "test.jsonl"},
            "task": "classification",
            "columns": {"text": "text", "label": "label"},
            "template": "short",
            "instruction": "Judge the review.",
            "training": {},
        }
    },
    "templates": {
        "short": {
            "prompt": "{instruction}\n{shots}Text: {text}\nAnswer: ",
            "shot": "Text: {text}\nAnswer: {completion}\n",
        }
    },
    "methods": {
        "zero_shot": {"kind": "prompting", "shots": 0},
        "few_shot": {"kind": "prompting", "shots": 2},
        "lora": {
            "kind": "peft",
            "adapter": {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]},
            "training": {"learning_rate": 0.01},
        },
        "full": {"kind": "full"},
    },
    "training": {"num_train_epochs": 1, "per_device_train_batch_size": 4, "logging_steps": 1},
    "evaluation": {"batch_tokens": 512, "generation": {"do_sample": False}},
    "inference": {
        "train_size": 1.0,
        "prompts": 2,
        "warmup": 1,
        "batch_sizes": [1],
        "new_tokens": 4,
        "load_test": {"tuning": [], "prompting": []},
    },
    "hardware": {"name": "this machine", "usd_per_hour": 0.0},
}


def environment() -> dict[str, str]:
    """This process's, with the sources beside these tests, wherever an installed copy may stand."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}


def run_stage(stage: ModuleType, run: Run) -> None:
    """Run a stage in this process: its outputs are replaced at the end, as `stage.run` does."""
    with results.replacing_together(*stage.outputs(run)) as temporaries:
        stage.main(run, *temporaries)


@dataclass(frozen=True)
class Project:
    """A folder with what a run needs: parameters, rows and a model."""

    folder: Path

    def write_params(self, params: dict[str, Any]) -> None:
        """Replace params.yaml."""
        with (self.folder / "params.yaml").open("w") as file:
            YAML().dump(params, file)

    def run(self, stage: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run one stage's script as DVC would."""
        return subprocess.run(
            [sys.executable, "-m", f"stages.{stage}", *options],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """The bytes of every file that stages made, by path; caches of fingerprints apart."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for top in ("data", "metrics", "report")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file()
            and path.name not in ("fingerprints.json", ".keep")
            and path.suffix != ".lock"
        }
