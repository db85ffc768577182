"""A Git and DVC repository of this project's files with a small study, to run `dvc` in."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    ("the film was good and warm", "positive"),
    ("the film was bad and cold", "negative"),
    ("a good story, well told", "positive"),
    ("a bad story, told at length", "negative"),
] * 4


def yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def environment() -> dict[str, str]:
    here = Path(sys.executable).parent
    # the repository's own sources, not those that the tests run from
    return os.environ | {"PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": "src"}


@dataclass(frozen=True)
class Repository:
    """The repository in `folder`."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, params: dict[str, Any]) -> "Repository":
        """A new one with this project's files as they are now, and other parameters."""
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        made = cls(folder)
        made.write_params(params)
        made.write_rows()
        made.git("init", "--quiet")
        made.git("add", "--all")
        made.git("commit", "--quiet", "--message", "start")
        return made

    def params(self) -> Any:
        return yaml().load(self.folder / "params.yaml")

    def write_params(self, params: dict[str, Any]) -> None:
        yaml().dump(params, self.folder / "params.yaml")

    def edit(self, section: str, name: str, key: str, value: object) -> None:
        """Change one parameter."""
        params = self.params()
        params[section][name][key] = value
        self.write_params(params)

    def write_rows(self, last: str = "good") -> None:
        lines = [f'"{text}",{label}' for text, label in ROWS]
        lines.append(f'"the last row is {last}",positive')
        (self.folder / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder, capture_output=True, check=True, text=True,
        )  # fmt: skip
        return done.stdout

    def dvc(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip

    def started(self, *arguments: str) -> "subprocess.Popen[str]":
        """`dvc` in the background, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder, env=environment(), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def repro(self, *stages: str) -> list[str]:
        """Run the pipeline; the stages that ran, without `check`, which always does.

        Each of them counts itself, and the last one is the last of all.
        """
        done = self.dvc("repro", *stages)
        assert done.returncode == 0, done.stdout + done.stderr
        check, *ran = re.findall(r"Running stage '([^']+)'", done.stdout)
        assert check == "check"
        counted = re.findall(r"^(\d+) of (\d+) stages, about .+ left$", done.stderr, re.MULTILINE)
        assert [int(number) for number, _ in counted] == list(range(1, len(ran) + 1))
        assert not counted or counted[-1][0] == counted[-1][1]
        return ran

    def results(self) -> dict[str, bytes]:
        """The bytes of every file that stages made, by path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for top in ("data", "metrics", "report")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file()
            and path.name != "fingerprints.json"
            and path.relative_to(self.folder).parts[1] not in ("locks", "checkpoints", "plan")
        }

    def metrics(self, path: str) -> Any:
        """One metrics file."""
        return json.loads((self.folder / "metrics" / path).read_text())


def wait_for_stage(process: "subprocess.Popen[str]", name: str) -> list[str]:
    """Read the output of `dvc repro` until a stage starts; the names of all that have."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen += re.findall(r"Running stage '([^']+)'", line)
        if seen and seen[-1].startswith(name):
            return seen
    raise AssertionError(f"{name} did not start; {seen} did")


def wait_for(path: str, folder: Path, *, process: "subprocess.Popen[str]") -> Path:
    """Wait until a file is there, named by a pattern within a folder, while a process runs."""
    while process.poll() is None:
        if found := sorted(folder.glob(path)):
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"{path} never came: {process.communicate()[0]}")


def small_study() -> dict[str, Any]:
    """The project's own parameters with few rows, one tuning method and three steps."""
    params: dict[str, Any] = yaml().load(ROOT / "params.yaml")
    reviews = params["datasets"]["reviews"]
    params["datasets"] = {
        "reviews": reviews | {"rows": {"train": 24, "test": 8}, "test_rows": 8},
    }
    params["grid"] |= {
        "datasets": ["reviews"],
        "prompting": ["zero_shot"],
        "tuning": ["lora"],
        "baselines": [],
        "train_sizes": [8],
    }
    params["evaluation"]["forgetting"] = {"dataset": "reviews", "rows": 6}
    params["training"] |= {"max_steps": 3, "logging_steps": 1, "save_strategy": "no"}
    params["inference"] |= {"train_size": 8, "prompts": 2, "warmup": 1}
    params["inference"] |= {"repeats": 1, "batch_sizes": [1]}
    return params
