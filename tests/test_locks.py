"""A run is made by one process at a time, and a stage ends with the `dvc` that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from projects import environment

from tunebench import locks, paths
from tunebench.errors import BusyError

OUTPUT = Path("data/adapters/tiny/reviews/lora/1.0-0")
# writes its process id when it holds the lock, and works until it is stopped
STAGE = """
import os, time
from pathlib import Path
from tunebench import stage
def main(run, out):
    out.write_text("half")
    Path("started").write_text(str(os.getpid()))
    time.sleep(60)
stage.run(main, lambda run: [Path("data/adapters/tiny/reviews/lora/1.0-0")])
"""
# as DVC does, with a shell that has become the stage, or waits for it
DVC = """
import subprocess, sys
subprocess.run(["/bin/bash", "-c", sys.argv[1]])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/train.py").write_text(STAGE)
    return tmp_path


def wait_until(what: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def stage(*, shell: str | None = None) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A stage that holds its lock: the process that started it, and its own process id."""
    command = f"{sys.executable} -m stages.train"
    process = subprocess.Popen(
        [sys.executable, "-c", DVC, f"{command}; true" if shell == "waits" else command]
        if shell
        else [sys.executable, "-m", "stages.train"],
        env=environment()
        | ({"DVC_STAGE": "train"} if shell else {})
        | {"PYTHONPATH": f".:{environment()['PYTHONPATH']}"},
    )
    started = Path("started")
    wait_until(lambda: started.exists() and started.read_text())
    pid = int(started.read_text())
    try:
        yield process, pid
    finally:
        process.kill()
        process.wait()
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_second_process_says_who_holds_the_run() -> None:
    with (
        stage() as (_, pid),
        pytest.raises(BusyError) as caught,
        locks.held(OUTPUT, patience_s=0.3),
    ):
        pass
    assert str(caught.value) == (
        f"{OUTPUT}: process {pid} is writing it; wait until that has ended, or end it: kill {pid}"
    )


def test_lock_of_a_killed_process_is_free() -> None:
    with stage() as (process, pid):
        os.kill(pid, signal.SIGKILL)
        process.wait()
        with locks.held(OUTPUT, patience_s=0.0):
            assert paths.lock(OUTPUT).read_text() == f"{os.getpid()}\n"
        with locks.held(OUTPUT, patience_s=0.0):  # and again
            pass
        with locks.held(OUTPUT.with_name("1.0-1"), patience_s=0.0):  # another run's
            pass


def test_second_process_waits_for_one_that_is_ending() -> None:
    with stage() as (process, pid):
        started = time.monotonic()
        ending = subprocess.Popen(["/bin/sh", "-c", f"sleep 1; kill {pid}"])
        with locks.held(OUTPUT, patience_s=30):
            assert time.monotonic() - started > 0.5
        ending.wait()
        process.wait()


@pytest.mark.parametrize("shell", ["becomes the stage", "waits"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stage_ends_with_dvc(shell: str, number: int) -> None:
    with stage(shell=shell) as (dvc, pid):
        dvc.send_signal(number)
        wait_until(lambda: not psutil.pid_exists(pid), seconds=20)
        dvc.wait()
    assert not list(OUTPUT.parent.iterdir())


def test_stage_by_hand_outlives_the_shell_that_started_it() -> None:
    command = f"{sys.executable} -m stages.train & sleep 60"
    shell = subprocess.Popen(
        ["/bin/bash", "-c", command],
        env=environment() | {"PYTHONPATH": f".:{environment()['PYTHONPATH']}"},
    )
    started = Path("started")
    wait_until(lambda: started.exists() and started.read_text())
    pid = int(started.read_text())
    shell.kill()
    shell.wait()
    time.sleep(1.5)
    assert psutil.pid_exists(pid)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not psutil.pid_exists(pid))
