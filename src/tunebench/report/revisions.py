"""What a Git revision, a DVC experiment or the working tree holds of a study.

Nothing is checked out: parameters and results are read from Git, predictions from DVC's cache.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from tunebench import paths
from tunebench.config import yaml_file
from tunebench.errors import ParameterError, SourceError, TunebenchError, suggest
from tunebench.paths import Run
from tunebench.report.summary import NO_ROWS

LOCK = Path("dvc.lock")
WORKING_TREE = "the working tree"
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")
# a stage in dvc.lock and its predictions; a YAML parser takes a second for the lock of 200 runs
STAGE = re.compile(r"^  (?=\S)", re.MULTILINE)
OUTPUT = re.compile(
    r"^    - path: data/predictions/(\S+)\n      hash: md5\n      md5: ([0-9a-f]{32}\.dir)$",
    re.MULTILINE,
)

Place = tuple[str, str, str, str]  # model, data set, method, train size


@dataclass(frozen=True)
class Revision:
    """One state of a study.

    `commit` is abbreviated, empty for the working tree. `results` are the metrics by place, as the
    report wrote them. `locked` are the hashes of folders of predictions, by the run whose they are,
    or by the folder of several.
    """

    name: str
    commit: str
    subject: str
    params: Mapping[str, Any]
    results: Mapping[Place, Mapping[str, Any]]
    locked: Mapping[str, str]

    def runs(self, place: Place) -> list[Run]:
        """The runs that a result is the mean of."""
        model, dataset, method, size = place
        if size == NO_ROWS:
            return [Run(model, dataset, method)]
        seeds = self.params.get("grid", {}).get("seeds", [])
        return [Run(model, dataset, method, paths.parse_size(size), seed) for seed in seeds]

    def predictions(self, run: Run, cache: Cache) -> Path | None:
        """The file of a run's predictions, of equal name if of equal content; None without one."""
        found = self._cached(PurePosixPath(str(run)), cache)
        if found is None and not self.commit and paths.predictions(run).exists():
            return paths.predictions(run)
        return found

    def _cached(self, run: PurePosixPath, cache: Cache) -> Path | None:
        """In the run's own folder, or in one that a stage made of several runs, as of baselines."""
        for folder in (run, *run.parents):
            if folder_hash := self.locked.get(str(folder)):
                return cache.file(folder_hash, run.relative_to(folder) / paths.PREDICTIONS)
        return None


@dataclass(frozen=True)
class Cache:
    """DVC's cache in a folder; files lie there by the MD5 of their content."""

    folder: Path

    @classmethod
    def here(cls) -> Cache:
        """The one that this repository's DVC uses."""
        from dvc.config import Config, ConfigError  # type: ignore[import-untyped]

        try:
            directory = Config(".dvc")["cache"].get("dir")
        except ConfigError as error:
            raise SourceError(f".dvc/config: {' '.join(str(error).split())}") from None
        return cls(Path(directory or ".dvc/cache") / "files" / "md5")

    def file(self, folder_hash: str, name: PurePosixPath) -> Path | None:
        """A file of a cached folder of that hash; None if it is not here."""
        try:
            entries = json.loads(self._path(folder_hash).read_bytes())
        except (OSError, ValueError):
            return None
        for entry in entries:
            if entry["relpath"] == str(name):
                path = self._path(entry["md5"])
                return path if path.exists() else None
        return None

    def _path(self, md5: str) -> Path:
        return self.folder / md5[:2] / md5[2:]


@dataclass(frozen=True)
class Repository:
    """The Git repository around the working directory."""

    def revision(self, name: str) -> Revision:
        """A commit, branch, tag or experiment.

        Raises:
            ParameterError: if there is none of that name.
            SourceError: if it has no results of a shape that is known here.
        """
        commit = self._commit(name)
        subject, short = self._git("show", "--no-patch", "--format=%s%n%h", commit).splitlines()
        texts = {path: self._file(commit, path) for path in (paths.PARAMS, paths.RESULTS, LOCK)}
        return _revision(name, short, subject, texts)

    def working_tree(self) -> Revision:
        """The files as they are.

        Raises:
            SourceError: if it has no results.
        """
        texts = {
            path: path.read_text(encoding="utf-8") if path.exists() else None
            for path in (paths.PARAMS, paths.RESULTS, LOCK)
        }
        return _revision(WORKING_TREE, "", "", texts)

    def _commit(self, name: str) -> str:
        """The hash of a commit; of several experiments of one name, that on the newest commit."""
        for each in (name, self._experiments.get(name)):
            found = each and self._run("rev-parse", "--verify", "--quiet", "--end-of-options",
                                       f"{each}^{{commit}}")  # fmt: skip
            if found and found.returncode == 0:
                return found.stdout.strip()
        unusable = self._run("rev-parse", "--git-dir").stderr
        if "not a git repository" in unusable:
            raise SourceError(
                "this folder is in no Git repository, whose revisions could be compared; git init,"
                " and commit params.yaml, dvc.lock and metrics/"
            )
        if unusable:
            raise SourceError(f"git: {' '.join(unusable.split())}")
        raise ParameterError([f"{name!r} is no Git revision or experiment; {self._nearest(name)}"])

    def _nearest(self, name: str) -> str:
        short = "--format=%(refname:short)"
        named = self._git("for-each-ref", short, "refs/heads", "refs/tags", "refs/remotes")
        names = [*named.splitlines(), *self._experiments]
        return suggest(name, names) if names else "nothing is committed yet"

    @cached_property
    def _experiments(self) -> dict[str, str]:
        """The references of DVC's experiments by name."""
        listed = self._run(
            "for-each-ref", "--sort=creatordate", "--format=%(refname)", "refs/exps"
        ).stdout
        matches = filter(None, map(EXPERIMENT.fullmatch, listed.splitlines()))
        return {match[1]: match[0] for match in matches}

    def _file(self, commit: str, path: Path) -> str | None:
        found = self._run("show", f"{commit}:./{path.as_posix()}")
        return None if found.returncode else found.stdout

    def _git(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise SourceError(f"git {arguments[0]}: {' '.join(done.stderr.split())}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *arguments],
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                env=os.environ | {"LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise TunebenchError("git: is not installed; apt-get install git") from None


def _revision(name: str, commit: str, subject: str, texts: Mapping[Path, str | None]) -> Revision:
    written, params = texts[paths.RESULTS], texts[paths.PARAMS]
    if written is None or params is None:
        missing = paths.RESULTS if written is None else paths.PARAMS
        remedy = "run `dvc repro`"
        if commit:
            remedy = f"choose a later one of: git log --oneline -- {missing}"
        raise SourceError(f"{name}: has no {missing}; {remedy}")
    try:
        results = dict(_places(json.loads(written)))
    except (ValueError, TypeError, AttributeError):
        fault = f"its {paths.RESULTS} has another shape than this version writes"
        remedy = "choose a later revision" if commit else "run `dvc repro`"
        raise SourceError(f"{name}: {fault}; {remedy}") from None
    try:
        content = yaml_file.parsed(params, paths.PARAMS)
    except ParameterError as error:
        raise SourceError(f"{name}: {error}") from None
    return Revision(name, commit, subject, content, results, dict(locked(texts[LOCK] or "")))


def locked(lock: str) -> Iterator[tuple[str, str]]:
    """Each run, or folder of runs, and the hash of its predictions, as dvc.lock has them."""
    for stage in STAGE.split(lock):
        yield from OUTPUT.findall(stage.partition("\n    outs:\n")[2])


def _places(nested: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The metrics by place, of `summary.nest`'s model → data set → method → train size.

    Raises:
        AttributeError, TypeError: if it is of another shape.
    """
    for model, datasets in nested.items():
        for dataset, methods in datasets.items():
            for method, sizes in methods.items():
                for size, metrics in sizes.items():
                    paths.parse_size(size)  # a ValueError where older revisions had metrics here
                    yield (model, dataset, method, size), dict(metrics.items())
