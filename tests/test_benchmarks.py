"""Each benchmark that needs no peer still runs, and prints what its recorded line holds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, environment

pytestmark = pytest.mark.slow

FOLDER = ROOT / "benchmarks"
NOTES = {"command", "load", "note"}  # written beside a line by hand
PEERS = {"label_scoring", "label_parity"}  # import one at once
GPU = {"inference_gpu"}

SMALL: dict[str, list[str]] = {
    "baselines": ["--train-sizes", "40"],
    "coverage": ["--draws", "4", "--searches", "1"],
    "generation": ["--count", "2", "--new-tokens", "4", "--pipeline-batch-sizes", "1", "2"],
    "inference": ["--count", "2", "--new-tokens", "4", "--repeats", "1"],
    "label_count": ["--prompts", "2", "--repeats", "1"],
    "label_end": ["--rows", "2", "--shots", "0"],
    "large_csv": ["--rows", "2000", "--train-size", "50"],
    "large_study": ["--rows", "20", "--tuning", "1"],
    "memory": ["--megabytes", "1"],
    "queueing": ["--service-s", "0.01", "--requests", "20", "--utilizations", "0.5"],
    "steadiness": ["--draws", "2"],
    "sustained_rate": ["--searches", "1", "--settings", "demo"],
    "stage_overhead": ["--steps", "2", "--runs", "1"],
    "training": ["--prompts", "4", "--repeats", "1", "--sides", "tunebench"],
}
# the sides that are not asked
LEFT_OUT = {
    "sustained_rate": {"p99"},
    "training": {
        "trl", "tunebench_over_trl", "tunebench_random", "tunebench_over_tunebench_random"
    }
}  # fmt: skip


def printed(name: str, folder: Path) -> dict[str, Any]:
    """The one JSON line of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *SMALL[name]],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def lacking(found: dict[str, Any], recorded: dict[str, Any], way: str = "") -> Iterator[str]:
    """Keys of a recorded line that another has not, however deep; numbers are what was asked."""
    for key in (key for key in recorded if not key.replace(".", "").isdecimal()):
        value = recorded[key]
        if key not in found:
            yield way + key
        elif isinstance(value, dict):
            yield from lacking(found[key], value, f"{way}{key}.")
        elif isinstance(value, list) and isinstance(value[0], dict):
            yield from lacking(found[key][0], value[0], f"{way}{key}[0].")


@pytest.mark.parametrize("name", SMALL)
def test_line_holds_what_the_recorded_one_does(name: str, tmp_path: Path) -> None:
    found = printed(name, tmp_path)
    recorded = json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert len(recorded) >= 7
    assert set(lacking(found, recorded)) == NOTES & recorded.keys() | LEFT_OUT.get(name, set())
    assert found["benchmark"] == name
    assert list(tmp_path.iterdir()) == []  # all that it made was in a temporary folder


def test_every_benchmark_is_run_here_or_needs_a_peer() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert scripts == SMALL.keys() | PEERS | GPU
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {name for name in scripts if f"| `{name}.py` |" in readme} == scripts
