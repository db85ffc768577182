"""Take a CSV of 500 MB through the stages that read and write all of its rows, and measure:

    python benchmarks/memory.py
    python benchmarks/memory.py --megabytes 1     # in seconds

Prints one JSON line: for each stage its seconds, process start included, and the peak of its
resident memory. Every row is in the training subset or the test split, so all of them become
prompts. The CSV and all that is made of it lie in a temporary folder, about six times its size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from large_csv import TEXT_CHARACTERS, measure, write_csv, write_params
from measure import machine

ROW_BYTES = TEXT_CHARACTERS + 10
ALL = 1.0


def main() -> None:
    """Make the CSV, run the stages, print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "tickets.csv", options.megabytes * 1_000_000 // ROW_BYTES)
        write_params(folder, ALL)
        data, model = ("--dataset", "tickets"), ("--model", "tiny")
        subset = ("--train-size", str(ALL), "--seed", "0")
        line = {
            "benchmark": "memory",
            "csv_bytes": (folder / "tickets.csv").stat().st_size,
            "check": measure(folder, "check"),
            "download": measure(folder, "download", *data),
            "fetch_model": measure(folder, "fetch_model", *model),
            "subsample": measure(folder, "subsample", *data, *subset),
            "format_prompts": measure(folder, "format_prompts", *model, *data, *subset),
            "format_test": measure(folder, "format_prompts", *model, *data),
            # last, since it imports torch, and a process starts with the peak of its parent
            "machine": machine(),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
