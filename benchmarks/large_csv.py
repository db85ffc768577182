"""Sample 5,000 rows from a CSV of two million rows and 1 GB with the real stages, and measure:

    python benchmarks/large_csv.py
    python benchmarks/large_csv.py --rows 20000 --train-size 500     # in seconds

Prints one JSON line: for each stage its seconds, process start included, and the peak of its
resident memory. The CSV and all that is made of it lie in a temporary folder, twice its size.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import ROOT, environment, machine
from ruamel.yaml import YAML

TEXT_CHARACTERS = 490  # with its label and quotes, 500 bytes a row
LABELS = ("billing", "delivery", "other", "returns")


def write_csv(path: Path, rows: int) -> None:
    """Tickets of random words, every tenth with a line break and quotes, in four classes."""
    words = [f"word{number}" for number in range(5_000)]
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("message,queue\n")
        for row in range(rows):
            text = f"ticket {row}: " + " ".join(chance.choices(words, k=70))
            end = '\n""quoted"", too' if row % 10 == 0 else ""
            file.write(f'"{text[: TEXT_CHARACTERS - len(end)]}{end}",{LABELS[row % 4]}\n')


def write_params(folder: Path, train_size: float) -> None:
    """The repository's own parameters, with that CSV as the only data set."""
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(ROOT / "params.yaml")
    params["datasets"] = {
        "tickets": {
            "path": "tickets.csv",
            "task": "classification",
            "columns": {"text": "message", "label": "queue"},
            "template": "alpaca",
            "training": {},
        }
    }
    params["evaluation"].pop("forgetting", None)  # names a data set of the demo
    params["grid"] |= {"datasets": ["tickets"], "train_sizes": [train_size]}
    params["inference"]["train_size"] = train_size
    yaml.dump(params, folder / "params.yaml")
    (folder / "assets").symlink_to(ROOT / "assets")


def measure(folder: Path, stage: str, *options: str) -> dict[str, Any]:
    """Run one stage as DVC would; its seconds and its own peak memory."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}", *options],
        cwd=folder,
        env=environment(),
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"stage {stage} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_rss_bytes": usage.ru_maxrss * unit,
    }


def main() -> None:
    """Make the CSV, run the stages, print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--train-size", type=int, default=5_000)
    options = parser.parse_args()
    size = str(options.train_size)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "tickets.csv", options.rows)
        write_params(folder, options.train_size)
        dataset = ("--dataset", "tickets")
        line = {
            "benchmark": "large_csv",
            "rows": options.rows,
            "csv_bytes": (folder / "tickets.csv").stat().st_size,
            "train_size": options.train_size,
            "check": measure(folder, "check"),
            "download": measure(folder, "download", *dataset),
            "subsample": measure(
                folder, "subsample", *dataset, "--train-size", size, "--seed", "0"
            ),
            # last, since it imports torch, and a process starts with the peak of its parent
            "machine": machine(),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
