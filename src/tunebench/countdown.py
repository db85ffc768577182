"""Which of how many stages one is, and how long the rest takes: the first line of each.

The stage `check` writes what is to run and for how long (`planning.queue`). Stages count those that
have started, and leave out those that DVC skipped since: what a started one needs is done.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tunebench import lifeline, paths, results

# by as much as the first minute is off, the rest is not judged
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Queue:
    """What one `dvc` process is to run: each stage's predicted seconds, and those just before it.

    `dvc` is its process id and when that started; `started` is when the stage `check` ran.
    """

    dvc: tuple[int, float]
    started: float
    seconds: Mapping[str, float]
    after: Mapping[str, list[str]]

    @classmethod
    def read(cls) -> Queue | None:
        """The queue of the `dvc` process above this one; None without one."""
        above, written = lifeline.dvc(), results.earlier(paths.QUEUE)
        if above is None or written is None:
            return None
        try:
            queue = cls(tuple(written.pop("dvc")), **written)
            return queue if queue.dvc == identity(above) else None
        except (TypeError, KeyError):  # of another version of this project
            return None

    def write(self) -> None:
        """Write it where `read` looks for it."""
        results.write(paths.QUEUE, vars(self))

    def line(self, started: Iterable[str], now: float) -> str:
        """`12 of 46 stages, about 4 minutes left`, of which the last of `started` is the twelfth.

        Args:
            now: in seconds, by the clock that `self.started` was read from.
        """
        begun = list(dict.fromkeys(started))
        left = [name for name in self.seconds if name not in self._done(begun)]
        expected = sum(self.seconds.get(name, 0.0) for name in begun[:-1])
        # how much slower this run is than predicted, which the first stages hardly tell
        slower = (now - self.started + PATIENCE_S) / (expected + PATIENCE_S)
        rest = slower * sum(self.seconds.get(name, 0.0) for name in {*begun[-1:], *left})
        return f"{len(begun)} of {len(begun) + len(left)} stages, about {about(rest)} left"

    def _done(self, begun: list[str]) -> set[str]:
        """Stages that have started, and all that they need."""
        done: set[str] = set()
        pending = list(begun)
        while pending:
            name = pending.pop()
            if name not in done:
                done.add(name)
                pending += self.after.get(name, [])
        return done


def identity(process: psutil.Process) -> tuple[int, float]:
    """What tells a process from a later one of the same number."""
    return process.pid, process.create_time()


def show() -> None:
    """Print this stage's line, where DVC runs it after a `check` that could plan."""
    queue, name = Queue.read(), stage_name()
    if queue is None or name is None:
        return
    _append(paths.STARTED, {"stage": name})
    started = [entry["stage"] for entry in read_lines(paths.STARTED)]
    print(queue.line(started, time.time()), file=sys.stderr, flush=True)


def record() -> None:
    """Keep how long this stage took since its process began, for later plans."""
    if name := stage_name():
        now = time.time()
        seconds = now - psutil.Process().create_time()
        entry = {"stage": name, "seconds": results.rounded(seconds, 4), "ended": round(now)}
        _append(paths.STAGE_TIMES, entry | {"peak_memory_bytes": _peak_bytes()})


def stage_name() -> str | None:
    """DVC's name of the stage that runs; None by hand."""
    name = os.environ.get("DVC_STAGE")
    return name and name.removeprefix(f"{paths.GRAPH}:")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file that stages append to, without those that were cut."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("stage"), str):
            yield content


def about(seconds: float) -> str:
    """A time as people say it.

    >>> [about(seconds) for seconds in (4, 38, 100, 700, 5000, 100_000)]
    ['5 seconds', '40 seconds', '2 minutes', '12 minutes', '1 h 20 min', '28 hours']
    """
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} minute{'s' * (minutes != 1)}"
    if minutes < 600:
        return f"{minutes // 60} h {minutes % 60 // 5 * 5} min"
    return f"{round(minutes / 60)} hours"


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line; a disk that takes none is no reason for a stage to fail."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError:
        return


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
