"""The peak of a phase is its own, not what the process held before."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from jobs import LORA, SETTINGS, MakeJob
from safetensors.torch import load_file

from tunebench import models, training
from tunebench.config.schema import FullMethod, Model, PeftMethod
from tunebench.models import memory
from tunebench.training import Job

ROOT = Path(__file__).parents[1]
MEGABYTE = 10**6

resettable = pytest.mark.skipif(
    not memory.CLEAR_REFS.exists(), reason="this system cannot reset a process's peak"
)


def allocate(megabytes: int) -> None:
    """Hold that much memory, and free it again."""
    import numpy as np

    np.ones(megabytes * MEGABYTE, np.uint8)


@resettable
def test_peak_is_that_of_the_phase() -> None:
    allocate(400)
    phase = memory.Phase.start()
    allocate(100)
    found = phase.metrics()
    assert phase.baseline is not None
    assert found["peak_memory_above_baseline_bytes"] == pytest.approx(100 * MEGABYTE, rel=0.05)
    total = phase.baseline + found["peak_memory_above_baseline_bytes"]
    assert found["peak_memory_bytes"] == total
    assert "peak_memory_of_process" not in found
    assert memory.reset_peak()
    assert memory.peak_bytes() < found["peak_memory_bytes"] - 50 * MEGABYTE


def test_peak_that_cannot_be_reset_is_the_process_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "nowhere" / "clear_refs")
    before = memory.peak_bytes()
    assert not memory.reset_peak()
    found = memory.Phase.start().metrics()
    assert set(found) == {"peak_memory_bytes", "peak_memory_of_process"}
    assert found["peak_memory_of_process"]
    # the kernel counts pages in batches for each core
    assert found["peak_memory_bytes"] >= before - MEGABYTE
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")  # not Linux
    assert memory.peak_bytes() > 50 * MEGABYTE


def above_baseline(jobs: dict[str, Job]) -> dict[str, int]:
    """Bytes that each training held above what its process held before."""
    found = {}
    for name, job in jobs.items():
        metrics = training.train(job).metrics
        found[name] = metrics["peak_memory_above_baseline_bytes"]
        assert metrics["peak_memory_bytes"] > found[name] > 0
    return found


@resettable
def test_full_tuning_holds_gradients_and_moments_of_every_weight(make_job: MakeJob) -> None:
    base = models.Base(ROOT / "assets" / "tiny", "0" * 40, Model(path="assets/tiny"))
    lora = PeftMethod(kind="peft", adapter=LORA)
    settings = SETTINGS | {"optim": "adamw_torch"}
    # first uses of torch count in the first of them
    jobs = {
        name: make_job(name, base=base, method=method, settings=settings)
        for name, method in (("first", lora), ("lora", lora), ("full", FullMethod(kind="full")))
    }
    # of its own, as other tests leave holes in a heap
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        above = process.submit(above_baseline, jobs).result()
    stored = load_file(base.folder / "model.safetensors").values()
    weights = 4 * sum(tensor.numel() for tensor in stored)  # float32
    assert above["full"] - above["lora"] == pytest.approx(3 * weights, rel=0.4)
