"""Train, test and time the baselines with the real stages:

    python benchmarks/baselines.py --rows ../shared/data/imdb --train-sizes 2500 25000
    python benchmarks/baselines.py --train-sizes 40         # on generated posts, in seconds

Prints one JSON line: for each method and number of training rows its accuracy on the test rows
with the 95% interval, seconds of training, and seconds of a request. `--rows` is a folder with
train and test rows in the columns `text` and `label`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import ROOT, environment, machine
from ruamel.yaml import YAML

METHODS = ("majority", "linear")


def parameters(rows: Path | None, train_sizes: list[int], test_rows: int) -> dict[str, Any]:
    """The project's own parameters with one data set, and no method but the baselines."""
    params: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    posts = params["datasets"]["posts"]
    if rows is None:
        dataset = posts | {"rows": {"train": max(train_sizes), "test": test_rows}}
    else:
        dataset = {key: value for key, value in posts.items() if key not in ("generator", "rows")}
        dataset["path"] = str(rows.resolve())
    params["datasets"] = {"rows": dataset | {"test_rows": test_rows}}
    params["models"]["tiny"]["path"] = str(ROOT / "assets" / "tiny")
    params["grid"] |= {"datasets": ["rows"], "prompting": [], "tuning": []}
    params["grid"] |= {"baselines": list(METHODS), "train_sizes": train_sizes, "seeds": [0]}
    params["evaluation"]["forgetting"] = None
    params["inference"]["train_size"] = train_sizes[-1]
    return params


def measured(folder: Path, train_sizes: list[int]) -> dict[str, Any]:
    """What the stages wrote, by method and number of training rows."""
    found: dict[str, Any] = {}
    for method in METHODS:
        for size in train_sizes:
            train, evaluate = (
                json.loads((folder / f"metrics/{stage}/baseline/rows/{method}/{size}-0.json")
                           .read_text())
                for stage in ("train", "evaluate")
            )  # fmt: skip
            names = ("accuracy", "accuracy_low", "accuracy_high")
            found.setdefault(method, {})[str(size)] = {
                **{name: evaluate[name] for name in names},
                **{
                    name: train[name] for name in ("train_s", "adapter_bytes", "C") if name in train
                },
            }
        timing = json.loads(
            (folder / f"metrics/time_inference/baseline/rows/{method}.json").read_text()
        )
        found[method]["latency_p50_s"] = timing["latency_p50_s"]
    return found


def main() -> None:
    """Run the stages in a temporary project, and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--train-sizes", type=int, nargs="+", default=[2_500])
    parser.add_argument("--test-rows", type=int, default=2_000)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "params.yaml").open("w") as file:
            YAML().dump(parameters(given.rows, given.train_sizes, given.test_rows), file)
        for stage in ("check", "download --dataset rows", "baselines --dataset rows"):
            subprocess.run(
                [sys.executable, "-m", *f"stages.{stage}".split()],
                cwd=folder, env=environment(), check=True,
            )  # fmt: skip
        found = measured(folder, given.train_sizes)
    about = {"benchmark": "baselines", "machine": machine(), "test_rows": given.test_rows}
    print(json.dumps(about | found))


if __name__ == "__main__":
    main()
