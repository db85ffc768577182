"""The benchmarks of inference run, small, and measure what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_harness_and_bare_loop_are_measured_in_one_run() -> None:
    done = run("inference.py", "--count", "3", "--new-tokens", "4", "--repeats", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same_texts"] == 1
    assert found["prompts"] == 3
    ratio = found["harness_s"] / found["bare_generate_s"]
    assert found["harness_over_bare"] == pytest.approx(ratio, rel=0.01)


def test_gpu_benchmark_works_on_a_small_shape() -> None:
    done = run("inference_gpu.py", "--tiny", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    forms = ["float32_attached", "float32_merged", "nf4_attached", "nf4_merged"]
    assert [name for name in found if isinstance(found[name], list)] == forms
    for form in forms:
        assert [row["batch_size"] for row in found[form]] == [1, 2]
        for row in found[form]:
            assert row["loop"] == "own"
            assert row["tokens_per_s"] > 0
            assert 0 < row["bandwidth_share"] < 1


def test_gpu_benchmark_refuses_politely_without_one() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run("inference_gpu.py")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "this benchmark needs a CUDA GPU, and torch sees none; --tiny runs on a CPU"
    )
