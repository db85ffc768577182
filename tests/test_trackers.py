"""`report_to`: transformers' own callbacks, driven by real training, and where they may write.

No tracker is a dependency. wandb's few functions that its callback calls are written here as a
package of that name; docs/machine.md says with which real ones all of this was tried.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import edit, faults_of
from jobs import SETTINGS, MakeJob, digest

from tunebench import training
from tunebench.config import machine, schema
from tunebench.errors import Diverged, TrainingError
from tunebench.training import trackers

WANDB = """
import pathlib, types
runs, run, refuses = [], None, False
class Config(dict):
    def update(self, *given, allow_val_change): super().update(*given)
class Errors(Exception): pass
Errors.__module__ = "wandb.errors"
def Settings(**given): return given
def login(*, prompt): return prompt
def init(*, project, name, dir, mode, settings):
    global run, config
    if refuses: raise Errors("no such entity\\nsecond line")
    assert pathlib.Path(dir).is_dir()
    config = Config()
    run = types.SimpleNamespace(
        project=project, name=name, dir=dir, mode=mode, logged=[], ended=None, config=config,
        summary={}, _label=lambda code: None,
    )
    runs.append(run)
def define_metric(*given, **options): pass
def log(values): run.logged.append(values)
def finish(*, exit_code):
    global run
    run.ended, run = exit_code, None
"""


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of that name in an empty working directory, with no login."""
    package = tmp_path / "packages" / "wandb"
    (package / "sdk" / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text(WANDB)
    for folder in (package / "sdk", package / "sdk" / "lib"):
        (folder / "__init__.py").touch()
    (package / "sdk" / "lib" / "config_util.py").write_text("class ConfigError(Exception): pass")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    yield __import__("wandb")
    for name in [name for name in sys.modules if name.split(".")[0] == "wandb"]:
        del sys.modules[name]


def test_a_run_is_logged_below_data_and_trains_the_same(wandb: Any, make_job: MakeJob) -> None:
    before = dict(os.environ)
    told = make_job("told", settings=SETTINGS | {"report_to": "wandb"})
    outcome = training.train(told)

    (run,) = wandb.runs
    assert (run.name, run.project, run.mode) == ("tiny/reviews/told", "tunebench", "offline")
    assert run.dir == "data/trackers"
    assert run.ended == 0
    logged = [entry["train/loss"] for entry in run.logged if "train/loss" in entry]
    assert logged == [entry["loss"] for entry in outcome.history if "loss" in entry]
    assert len(logged) == 2
    assert run.config["learning_rate"] == SETTINGS["learning_rate"]
    assert {path.parts[0] for path in Path().rglob("*")} == {"data"}
    assert {name: os.environ.get(name) for name in before} == before
    assert not [name for name in os.environ if name.startswith("WANDB_")]

    quiet = make_job("told")  # its name seeds nothing; the folder is replaced
    training.train(quiet)
    assert len(wandb.runs) == 1
    assert digest(quiet) == digest(told)


def test_each_trial_of_a_search_is_a_run(wandb: Any, make_job: MakeJob, make_prompts: Any) -> None:
    method = schema.PeftMethod(
        kind="peft",
        adapter={"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]},
        search={"learning_rate": [0.01, 0.02]},
    )
    rows = make_prompts(8) + make_prompts(4, split="validation", start=8)
    training.train(
        make_job(method=method, prompts=rows, settings=SETTINGS | {"report_to": ["wandb"]})
    )
    assert [run.name for run in wandb.runs] == [
        "tiny/reviews/run, trial 1",
        "tiny/reviews/run, trial 2",
    ]
    assert [run.config["learning_rate"] for run in wandb.runs] == [0.01, 0.02]


def test_a_tracker_that_fails_is_named(wandb: Any, make_job: MakeJob) -> None:
    wandb.refuses = True
    with pytest.raises(
        TrainingError,
        match=r"tiny/reviews/run: report_to: wandb: no such entity; .* report_to: none$",
    ):
        training.train(make_job(settings=SETTINGS | {"report_to": "wandb"}))


def test_a_run_that_fails_ends_as_failed(wandb: Any, make_job: MakeJob) -> None:
    with pytest.raises(Diverged), trackers.reporting(make_job(), ["wandb"]):
        raise Diverged(1, 0.1)
    (run,) = wandb.runs
    assert run.ended == 1


@pytest.mark.parametrize("own", [{}, {"WANDB_MODE": "online", "WANDB_PROJECT": "mine"}])
def test_variables_of_one_s_own_count(
    own: dict[str, str], wandb: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with trackers.reporting(make_job(), ["wandb"]):
        run = wandb.run
    assert run.mode == own.get("WANDB_MODE", "offline")
    assert run.project == own.get("WANDB_PROJECT", "tunebench")


def test_folders_of_mlflow_and_tensorboard(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.delenv(name, raising=False)
    with trackers.reporting(make_job(), ["mlflow", "tensorboard"]):
        assert os.environ["MLFLOW_TRACKING_URI"] == (tmp_path / "data/trackers/mlflow").as_uri()
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "data/trackers/tensorboard/tiny/reviews/run"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "logs")
    with trackers.reporting(make_job(), ["mlflow", "tensorboard"]):
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow.example.org"
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "logs/tiny/reviews/run"
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ


def test_none_is_told_by_default(make_job: MakeJob) -> None:
    from tunebench.training import setup

    arguments = setup.arguments(make_job())
    assert arguments.report_to == []
    assert arguments.run_name == "tiny/reviews/run"


@pytest.mark.parametrize(
    ("value", "culprits"),
    [
        ("wandb", []),
        (["mlflow", "tensorboard"], []),
        ("none", []),
        ([], []),
        ("all", ["'all' is unknown"]),
        (None, ["None is unknown"]),
        ("wandbb", ["did you mean 'wandb'?"]),
        (["wandb", "dvclive", "none"], ["'dvclive' is unknown", "'none'"]),
    ],
)
def test_which_trackers_may_be_named(
    value: Any, culprits: list[str], valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, "training.report_to", value)
    lines = faults_of(valid, tmp_path)
    assert len(lines) == len(culprits)
    assert all(culprit in line for culprit, line in zip(culprits, lines, strict=True))


def test_a_tracker_that_is_not_installed_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_installed", lambda package: package.module == "mlflow")
    faults = list(
        machine.training_faults("training", {"report_to": ["mlflow", "wandb"]}, gpu=False)
    )
    assert faults == ["training.report_to: 'wandb' needs a package: pip install wandb"]
