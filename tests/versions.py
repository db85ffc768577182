"""A Git repository whose commits hold results, and a DVC cache with their predictions."""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tunebench.metrics import statistics

CACHE = Path(".dvc") / "cache" / "files" / "md5"


@dataclass
class Versions:
    """The repository in the working directory; `add` a run, then `commit`."""

    folder: Path
    params: dict[str, Any] = field(default_factory=lambda: {"grid": {"seeds": [0]}})
    results: dict[str, Any] = field(default_factory=dict)
    locked: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, right: Sequence[bool], *, ids: int = 0, **metrics: Any) -> None:
        """A run that is right on some test rows, which are numbered from `ids`.

        Args:
            place: model/dataset/method/size, of a prompting run without a size.
            metrics: beside its accuracy.
        """
        lines = [
            json.dumps({"id": f"test-{ids + number}", "gold": "a", "answer": "a" if each else "b"})
            for number, each in enumerate(right)
        ]
        self.cached(place, "".join(f"{line}\n" for line in lines).encode())
        low, high = statistics.of_proportion(sum(right), len(right))
        accuracy = {"accuracy": sum(right) / len(right), "accuracy_low": low, "accuracy_high": high}
        self.scored(place, accuracy | metrics)

    def scored(self, place: str, metrics: Mapping[str, Any]) -> None:
        """The metrics of a run, whose predictions are as they were."""
        model, dataset, method, size = [*place.split("/"), "0"][:4]
        methods = self.results.setdefault(model, {}).setdefault(dataset, {})
        methods.setdefault(method, {})[size] = metrics

    def cached(self, place: str, predictions: bytes) -> None:
        """Predictions in the cache, as DVC lays out a folder.

        Those of a data set's baselines are in one, of which only one is known here.
        """
        run = f"{place}-0" if place.count("/") == 3 else place
        folder = "/".join(run.split("/")[:2]) if run.startswith("baseline/") else run
        name = f"{run}/predictions.jsonl".removeprefix(f"{folder}/")
        entry = {"md5": self._stored(predictions), "relpath": name}
        self.locked[folder] = self._stored(json.dumps([entry]).encode(), ".dir")

    def _stored(self, content: bytes, ending: str = "") -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
        path = self.folder / CACHE / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    def write(self) -> None:
        """The files of the working tree."""
        with (self.folder / "params.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(self.params, file)
        (self.folder / "metrics").mkdir(exist_ok=True)
        (self.folder / "metrics" / "results.json").write_text(json.dumps(self.results))
        stages = {
            f"evaluate@{run.replace('/', '-')}": {
                "cmd": "python -m stages.evaluate",
                "outs": [{"path": f"data/predictions/{run}", "hash": "md5", "md5": md5}],
            }
            for run, md5 in self.locked.items()
        }
        yaml = YAML(typ="rt", pure=True)
        yaml.default_flow_style = False
        with (self.folder / "dvc.lock").open("w") as file:
            yaml.dump({"schema": "2.0", "stages": stages}, file)

    def commit(self, subject: str) -> str:
        """Commit the files; the commit's hash."""
        self.write()
        if not (self.folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
            (self.folder / ".dvc" / "config").parent.mkdir(exist_ok=True)
            (self.folder / ".dvc" / "config").touch()
        self.git("add", "params.yaml", "metrics", "dvc.lock")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
