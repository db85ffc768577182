"""`tunebench doctor` as a user runs it: in a repository, outside of one, broken in many ways."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_place import NO_HUB
from projects import ROOT, VALID, Project

from tunebench.doctor import printing
from tunebench.doctor.findings import Finding, fault, ok, usable, warning

PINS = ("requirements.txt", "constraints.txt", "requirements.lock", "dvc.yaml")


def run(
    folder: Path, *options: str, python: tuple[str, ...] = (), **environment: str
) -> "subprocess.CompletedProcess[str]":
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        [sys.executable, *python, "-m", "tunebench.doctor", *options],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def findings(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """The findings of `--json` by name; the last of those with the same name."""
    content = json.loads(done.stdout)
    assert content["usable"] is (done.returncode == 0)
    assert len(content["findings"]) >= 20
    return {each["name"]: each for each in content["findings"]}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(project: Project) -> Path:
    """A repository of Git and DVC with the pins of this one."""
    for name in PINS:
        shutil.copy(ROOT / name, project.folder / name)
    (project.folder / ".dvc").mkdir()
    git(project.folder, "init", "--quiet")
    git(project.folder, "add", "--all")
    git(project.folder, "commit", "--quiet", "--message", "start")
    return project.folder


def test_a_repository_is_ready(clone: Path) -> None:
    done = run(clone)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line for line in lines if line[:1] != " "][:-1] == [
        "machine", "packages", "repository", "hub", "study",
    ]  # fmt: skip
    assert re.fullmatch(r"tunebench \S+ is ready(: \d warnings?)?", lines[-1])
    levels = [line.split()[0] for line in lines[:-1] if line[:1] == " "]
    assert levels.count("ok") >= 20
    assert set(levels) <= {"ok", "warning", "mend:"}


def test_without_the_hub_it_answers_soon(clone: Path) -> None:
    started = time.monotonic()
    done = run(clone, "--json", HF_HUB_OFFLINE="0", HF_ENDPOINT=NO_HUB, HF_TOKEN="hf_" + "x" * 30)
    assert time.monotonic() - started < 10  # 2 s on idle cores
    found = findings(done)
    assert found["hub"]["level"] == "warning"
    assert found["hub"]["values"] == {"endpoint": NO_HUB, "reachable": False, "status": 0}
    assert "export HF_HUB_OFFLINE=1" in found["hub"]["remedy"]
    assert "hf_" + "x" * 30 not in done.stdout + done.stderr


def test_outside_of_a_repository(tmp_path: Path) -> None:
    done = run(tmp_path, "--json")
    found = findings(done)
    assert done.returncode == 1
    assert found["dvc"]["level"] == found["params.yaml"]["level"] == "fault"
    assert found["git"]["level"] == "warning"
    assert found["pins"]["text"].startswith("there are no pins here")


def test_without_any_package_it_still_says_what_is_missing(clone: Path) -> None:
    done = run(clone, "--json", python=("-S",))  # without site-packages
    found = findings(done)
    assert done.returncode == 1
    assert "pip install --requirement requirements.txt" in found["missing"]["remedy"]
    assert found["missing"]["values"]["missing"][:2] == ["accelerate", "aiohttp"]
    assert found["hub"]["text"] == "could not be looked at: huggingface_hub is not installed"
    assert found["memory"]["level"] == "ok"


def test_without_git(clone: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = findings(run(clone, "--json", PATH=str(empty)))
    assert found["git"]["level"] == "warning"
    assert "is not installed" in found["git"]["text"]


def test_faults_of_params_are_listed_and_then_counted(clone: Path) -> None:
    params = json.loads(json.dumps(VALID))
    params["grid"]["tuning"] = ["lroa"] * 8
    Project(clone).write_params(params)
    content = json.loads(run(clone, "--json").stdout)
    faults = [each for each in content["findings"] if each["level"] == "fault"]
    assert len(faults) == 6
    assert faults[0]["text"] == "grid.tuning[1]: 'lroa' stands twice"
    assert re.fullmatch(r"\d+ more faults", faults[-1]["text"])
    assert faults[-1]["remedy"] == "python -m stages.check"


def test_a_params_file_that_is_no_yaml(clone: Path) -> None:
    (clone / "params.yaml").write_text("grid: [", encoding="utf-8")
    found = findings(run(clone, "--json"))
    assert found["params.yaml"]["level"] == "fault"
    assert found["git"]["values"]["uncommitted"] == ["params.yaml"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        file.write(f" {os.getpid()}\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_locks_of_dvc(clone: Path) -> None:
    folder = clone / ".dvc" / "tmp"
    folder.mkdir()
    (folder / "rwlock").touch()  # cut off
    with locked(folder / "lock"):
        found = findings(run(clone, "--json"))
    assert found["dvc locks"]["level"] == "fault"
    assert found["dvc locks"]["remedy"] == "rm .dvc/tmp/rwlock"
    assert found["dvc"]["text"] == f"a DVC process is at work here (process {os.getpid()})"

    gone = subprocess.Popen(["true"])
    gone.wait()
    info = {"pid": gone.pid, "cmd": "dvc repro"}
    (folder / "rwlock").write_text(json.dumps({"read": {"data/a": [info]}, "write": {}}))
    found = findings(run(clone, "--json"))
    assert found["dvc locks"]["level"] == "ok"
    assert "of processes that are gone" in found["dvc locks"]["text"]

    alive = {"pid": os.getpid(), "cmd": "dvc repro"}
    (folder / "rwlock").write_text(json.dumps({"write": {"data/a": alive}, "read": {}}))
    found = findings(run(clone, "--json"))
    assert found["dvc locks"]["level"] == "warning"
    assert f"kill {os.getpid()}" in found["dvc locks"]["remedy"]


def test_findings_as_text_and_json() -> None:
    found = [
        ok("machine", "memory", "20 GB free", free_bytes=20),
        warning("machine", "disk", "nearly full", remedy="make room"),
        fault("study", "params.yaml", "is damaged", remedy="mend it"),
    ]
    assert list(printing.lines(found))[:-1] == [
        "machine",
        "  ok       memory       20 GB free",
        "  warning  disk         nearly full",
        "                        mend: make room",
        "study",
        "  fault    params.yaml  is damaged",
        "                        mend: mend it",
    ]
    assert printing.conclusion(found).endswith("is not ready: 1 fault, 1 warning")
    assert printing.conclusion(found[:1]).endswith("is ready")
    read = json.loads(printing.as_json(found))
    assert [Finding(**each) for each in read["findings"]] == found
    assert read["usable"] is usable(found) is False
