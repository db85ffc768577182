"""A hundred kills over a whole `dvc repro` end as if there had been none, and leave no process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from repository import Repository, environment, small_study

pytestmark = pytest.mark.slow

KILLS = 100
STAGES = 13
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("dvc", "stage", "both")
# what a clock decides; the rest of a result is compared bit for bit
MEASURED = ("_s", "_bytes", "_per_s", "utilization", "usd", "requests", "tokens_per_s", "memory")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository.made(tmp_path_factory.mktemp("undisturbed") / "project", small_study())
    assert len(made.repro()) == STAGES - 1
    return made


def processes(folder: Path) -> list[psutil.Process]:
    """Every process that runs in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def stage_of(dvc: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The stage that `dvc` runs now."""
    try:
        children = psutil.Process(dvc.pid).children()
        return [child for child in children if "stages." in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def test_a_hundred_kills(undisturbed: Repository, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    dice = random.Random(seed)
    killed = Repository.made(tmp_path / "project", small_study())
    kills: dict[str, int] = {}
    log = tmp_path / "log"
    while True:
        with log.open("ab") as output:
            dvc = subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro"],
                cwd=killed.folder, env=environment(), stdout=output, stderr=output,
            )  # fmt: skip
        if sum(kills.values()) >= KILLS:
            assert dvc.wait() == 0, f"seed {seed}: {log.read_text()[-3000:]}"
            break
        number, target = dice.choice(SIGNALS), dice.choice(TARGETS)
        kill_at_a_moment(dvc, number, target, dice)
        kills[f"{number.name} to {target}"] = kills.get(f"{number.name} to {target}", 0) + 1
        dvc.wait()
    told = f"seed {seed}, {kills}"
    until = time.monotonic() + 30
    while processes(killed.folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes(killed.folder) == [], told
    assert comparable(killed) == comparable(undisturbed), told
    assert killed.repro() == [], told
    assert len(kills) == len(SIGNALS) * len(TARGETS), told
    text = log.read_text()
    assert "Traceback" not in text, f"{told}: {text[-3000:]}"


def kill_at_a_moment(
    dvc: "subprocess.Popen[bytes]", number: signal.Signals, target: str, dice: random.Random
) -> None:
    """Send a signal once a stage has run for a random time; to `dvc` if none does."""
    while dvc.poll() is None and not stage_of(dvc):
        time.sleep(0.02)
    time.sleep(dice.uniform(0, 5))
    stages = stage_of(dvc)
    if target in ("dvc", "both") or not stages:
        dvc.send_signal(number)
    if target in ("stage", "both"):
        for stage in stages:
            try:
                stage.send_signal(number)
            except psutil.NoSuchProcess:
                continue


def comparable(repository: Repository) -> dict[str, object]:
    """The files that stages made, less what a clock decides."""
    return {
        name: scalars(json.loads(content)) if name.endswith(".json") else content
        for name, content in repository.results().items()
        if not name.startswith(("metrics/tables", "metrics/plots", "report", "metrics/results"))
        and not name.endswith("README.md")
    }


def scalars(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: scalars(inner)
            for key, inner in value.items()
            if not any(mark in key for mark in MEASURED)
        }
    return value
