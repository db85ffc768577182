"""Git and DVC: whether this is a repository, what is not committed, locks, and leftovers."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench import leftovers, paths
from tunebench.doctor import yaml12
from tunebench.doctor.findings import Finding, fault, ok, size, warning

DVC = Path(".dvc")
LOCK_FILE = Path("dvc.lock")
TRACKED = (str(paths.PARAMS), str(paths.GRAPH), str(LOCK_FILE))
PATIENCE_S = 2.0


def git() -> Iterator[Finding]:
    """Whether Git is installed, this is a clone, and its parameters are committed."""
    if shutil.which("git") is None:
        yield warning(
            "repository",
            "git",
            "is not installed; experiments and the versions of results need it",
            remedy="apt-get install git, or as your system installs it",
        )
        return
    inside = _git("rev-parse", "--is-inside-work-tree")
    if inside is None or inside.strip() != "true":
        yield warning(
            "repository",
            "git",
            f"{Path.cwd()} is in no Git repository",
            remedy="cd <your clone of tunebench>; or, in a copy of it: git init",
        )
        return
    changed = _git("status", "--porcelain", "--", *TRACKED) or ""
    names = [line[3:] for line in changed.splitlines()]
    if names:
        yield warning(
            "repository",
            "git",
            f"not committed: {', '.join(names)}; nobody can tell later what made the results",
            remedy=f"git commit --message '<what changed>' -- {' '.join(names)}",
            uncommitted=names,
        )
        return
    branch = (_git("rev-parse", "--abbrev-ref", "HEAD") or "").strip()
    commit = (_git("rev-parse", "--short", "HEAD") or "no commit yet").strip()
    on = f"{branch}, " if branch else ""
    yield ok(
        "repository",
        "git",
        f"{on}{commit}; parameters are committed",
        commit=commit,
        uncommitted=[],
    )


def _git(*arguments: str) -> str | None:
    """What git prints; None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def dvc() -> Iterator[Finding]:
    """Whether this is a DVC repository, its locks are free, and what is out of date."""
    if not paths.GRAPH.exists():
        yield fault(
            "repository",
            "dvc",
            f"{Path.cwd()} holds no dvc.yaml: it is not the root of a tunebench repository",
            remedy="cd <your clone of tunebench>",
        )
        return
    if not DVC.is_dir():
        yield fault("repository", "dvc", "no DVC repository yet", remedy="dvc init")
        return
    yield from (_running(), _read_write_lock())
    yield from _stages()
    yield _leftovers()


def _running() -> Finding:
    """Whether a DVC process holds the repository's lock, which the kernel frees when it ends."""
    lock = DVC / "tmp" / "lock"
    if lock.exists():
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read_text(errors="replace").strip() or "unknown"
                return warning(
                    "repository",
                    "dvc",
                    f"a DVC process is at work here (process {holder})",
                    remedy=f"wait for it, or end it: kill {holder}",
                )
    return ok("repository", "dvc", "no other DVC process is at work here")


def _read_write_lock() -> Finding:
    """DVC's list of what its processes read and write; killed while it wrote that, it cannot read
    it any more.
    """
    file = DVC / "tmp" / "rwlock"
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        held = [
            (path, info["pid"])
            for kind in ("read", "write")
            for path, infos in listed.get(kind, {}).items()
            for info in (infos if isinstance(infos, list) else [infos])
        ]
    except FileNotFoundError:
        return ok("repository", "dvc locks", "none")
    except (ValueError, LookupError, TypeError, AttributeError):
        return fault(
            "repository",
            "dvc locks",
            f"{file} was cut off when a DVC process was killed; DVC cannot read it",
            remedy=f"rm {file}",
        )
    alive = sorted({pid for _, pid in held if leftovers.runs(pid)})
    if alive:
        first = next(path for path, pid in held if pid in alive)
        processes = " ".join(map(str, alive))
        return warning(
            "repository",
            "dvc locks",
            f"{len(held)} held by process {processes}, as {Path(first).name}",
            remedy=f"wait for it, or end it: kill {processes}; if it is no DVC process: rm {file}",
        )
    text = f"{len(held)} of processes that are gone, which DVC removes itself" if held else "none"
    return ok("repository", "dvc locks", text)


def _stages() -> Iterator[Finding]:
    """How many stages are locked, and of how many the parameters have changed since.

    What else makes a stage stale (code, data, outputs) is hashed by `dvc status` only.
    """
    if not LOCK_FILE.exists():
        yield ok("repository", "stages", "none has run yet: dvc repro")
        return
    locked = yaml12.read(LOCK_FILE)
    stages = locked.get("stages") if isinstance(locked, dict) else None
    if not (isinstance(stages, dict) and all(map(_is_whole, stages.values()))):
        yield fault(
            "repository",
            "stages",
            f"{LOCK_FILE} is damaged; DVC cannot read it",
            remedy=f"git checkout -- {LOCK_FILE}",
        )
        return
    now = yaml12.read(paths.PARAMS)
    changed = [name for name, entry in stages.items() if _differs(entry, now)]
    text = f"{len(stages)} locked, parameters of {len(changed)} changed since; all: dvc status"
    yield ok("repository", "stages", text, locked=len(stages), changed=changed)


def _is_whole(entry: Any) -> bool:
    """Whether a locked stage is all there: DVC writes its lock in place, and may be killed."""
    return isinstance(entry, dict) and all(
        isinstance(file, dict) and isinstance(file.get("hash"), str)
        for section in ("deps", "outs")
        for file in entry.get(section) or []
    )


def _differs(entry: dict[str, Any], now: Any) -> bool:
    """Whether one of a locked stage's parameters has another value now."""
    locked = (entry.get("params") or {}).get(str(paths.PARAMS), {})
    return any(_value(now, name) != value for name, value in locked.items())


def _value(parameters: Any, name: str) -> Any:
    for key in name.split("."):
        parameters = parameters.get(key) if isinstance(parameters, dict) else None
    return parameters


def _leftovers() -> Finding:
    """What killed processes left, and interrupted trainings that resume."""
    abandoned = [
        path
        for top in (paths.DATA, paths.METRICS, paths.PAGE.parent)
        if top.is_dir()
        for path in leftovers.abandoned(top)
    ]
    resume = sum(1 for _ in (paths.DATA / "checkpoints").glob("*/*/*/*/checkpoint-*"))
    text = f"{resume} checkpoints, from which dvc repro resumes" if resume else "none"
    if not abandoned:
        return ok("repository", "leftovers", text, checkpoints=resume)
    taken = sum(
        file.stat().st_size
        for path in abandoned
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file()
    )
    return warning(
        "repository",
        "leftovers",
        f"{len(abandoned)} of killed processes, {size(taken)}; each stage removes its own",
        remedy="dvc repro; or: rm -r " + " ".join(f"'{path}'" for path in abandoned[:3]),
        abandoned=[str(path) for path in abandoned],
        checkpoints=resume,
    )
