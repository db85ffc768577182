"""Kills over a whole `dvc repro` end as if there had been none, and leave no process.

KILLS=108 pytest tests/test_disturbed.py makes 108 of them.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import product
from pathlib import Path

import psutil
import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from repository import Repository, environment, small_study, yaml
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

pytestmark = pytest.mark.slow

STAGES = 14
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("dvc", "stage", "both")
KINDS = tuple(product(SIGNALS, TARGETS))
KILLS = int(os.environ.get("KILLS", 3 * len(KINDS)))
# what a clock decides; the rest of a result is compared bit for bit
MEASURED = ("_s", "_bytes", "_per_s", "utilization", "usd", "requests", "tokens_per_s", "memory")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, float]:
    """A study that nothing disturbed, and the seconds that one of its stages took."""
    made = Repository.made(tmp_path_factory.mktemp("undisturbed") / "project", small_study())
    began = time.monotonic()
    assert len(made.repro()) == STAGES - 1
    return made, (time.monotonic() - began) / STAGES


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


def kill_at_a_moment(
    dvc: "subprocess.Popen[bytes]", number: signal.Signals, target: str, delay_s: float
) -> bool:
    """Send a signal some seconds after a stage began; False if `dvc` ended before."""
    while dvc.poll() is None and not stage_of(dvc):
        time.sleep(0.02)
    until = time.monotonic() + delay_s
    while dvc.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    if dvc.poll() is not None:
        return False
    stages = stage_of(dvc)
    if target != "stage" or not stages:
        dvc.send_signal(number)
    if target != "dvc":
        for stage in stages:
            with suppress(psutil.NoSuchProcess):
                stage.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        dvc.wait(0.5)  # it ignores SIGINT while a stage runs
    return True


def mend(repository: Repository) -> int:
    """Remove what DVC itself cannot read after a kill; see docs/decisions.md. How many files."""
    broken = 0
    for name, read in ((".dvc/tmp/rwlock", json.loads), ("dvc.lock", locked)):
        path = repository.folder / name
        try:
            whole = not path.exists() or isinstance(read(path.read_text()), dict)
        except (ValueError, YAMLError, Invalid):
            whole = False
        if not whole:
            path.unlink()
            broken += 1
    return broken


def locked(text: str) -> object:
    """The content of a dvc.lock that DVC itself accepts: half a file can be whole YAML."""
    return COMPILED_LOCKFILE_SCHEMA(yaml().load(text))


def test_kills_are_as_none(undisturbed: tuple[Repository, float], tmp_path: Path) -> None:
    expected, stage_s = undisturbed
    seed = int.from_bytes(os.urandom(4))
    dice, log = random.Random(seed), tmp_path / "log"
    killed = Repository.made(tmp_path / "project", small_study())

    def started() -> "subprocess.Popen[bytes]":
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro"],
                cwd=killed.folder, env=environment(), stdout=output, stderr=output,
            )  # fmt: skip

    kinds = [KINDS[number % len(KINDS)] for number in range(KILLS)]
    dice.shuffle(kinds)
    kills, whole, mended, unkilled, dvc = Counter[tuple[str, str]](), 0, 0, 0, started()
    while kinds:
        if dvc.poll() == 0:  # it was faster than its killer: from the beginning again
            whole += 1
            for name in ("data", "metrics", "report"):
                shutil.rmtree(killed.folder / name)
            (killed.folder / "dvc.lock").unlink()
        if dvc.poll() is not None:
            mended += mend(killed)
            dvc = started()
        number, target = kinds[-1]
        # often before the first stage with work to do ends, at times after the next ones
        delay_s = dice.uniform(0, dice.choice([0.5, 0.5, 1, 5]) * stage_s)
        if kill_at_a_moment(dvc, number, target, delay_s):
            kills[number.name, target] += 1
            kinds.pop()
            unkilled = 0
        unkilled += 1
        assert unkilled < 20, f"no run lasts: seed {seed}, {log.read_text()[-3000:]}"
    dvc.wait()
    mended += mend(killed)
    last = started()
    told = f"seed {seed}, {dict(kills)}, {whole} runs ended before, {mended} files of DVC mended"
    assert last.wait() == 0, f"{told}: {log.read_text()[-3000:]}"
    assert processes(killed.folder) == [], told
    assert comparable(killed) == comparable(expected), told
    assert killed.repro() == [], told
    assert kills.total() == KILLS, told
    assert len(set(re.findall(r"Running stage '(\w+)", log.read_text()))) == STAGES, told
    print(told)


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
