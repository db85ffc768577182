"""Runs that end without a score, which is a result too: its metrics, and how a person reads them.

- `does_not_fit`: solved examples leave no room for the text
- `out_of_memory`: of the accelerator, or of this process
- `diverged`: the loss or the weights are no number any more
- `objective_met: false`: no rate of requests meets the objective of a load test
- `not_servable`: an adapter that can be merged into no weights, and that the server does not take
"""

from __future__ import annotations

from pathlib import Path

from tunebench import paths, results
from tunebench.errors import Diverged
from tunebench.models import memory

REMEDIES = {
    "out_of_memory": "lower per_device_train_batch_size and raise gradient_accumulation_steps (or"
    " set auto_find_batch_size: true), set gradient_checkpointing: true, shorten max_length, or"
    " quantize the model",
    "diverged": "lower learning_rate or max_grad_norm",
}


def out_of_memory() -> results.Metrics:
    """Metrics of a run whose memory has just ended."""
    return {"out_of_memory": True, "peak_memory_bytes": memory.peak_bytes()}


def diverged(error: Diverged) -> results.Metrics:
    """Metrics of a run whose loss is no number any more."""
    return {"diverged": True, "step": error.step, "learning_rate": error.learning_rate}


def not_servable(server: str) -> results.Metrics:
    """Metrics of a load test of what only this project's own process can answer with."""
    return {"not_servable": True, "server": server}


def failure(trained: Path | None) -> results.Metrics | None:
    """The metrics of a training that left no model in its folder, if it did not."""
    found = trained and paths.failure(trained)
    return results.read(found) if found and found.exists() else None


# as a column shows it
STATUS = {
    "does_not_fit": "does not fit",
    "out_of_memory": "out of memory",
    "not_servable": "in-process only",
    "diverged": "diverged",
}


def status(found: results.Metrics) -> str:
    """How a run ended, in a word or three: `ok` where it has a score."""
    return next((said for name, said in STATUS.items() if found.get(name)), "ok")


def note(found: results.Metrics) -> str:
    """Why there is no score, in a few words; empty where there is one."""
    if found.get("does_not_fit"):
        needed, available = found["tokens_needed"], found["tokens_available"]
        return f"does not fit: {needed:,} tokens needed, {available:,} there are"
    if found.get("out_of_memory"):
        return f"out of memory at {found['peak_memory_bytes'] / 1e9:.3g} GB"
    if found.get("not_servable"):
        return f"in-process only: it cannot be merged, and {found['server']} takes no such adapter"
    if found.get("objective_met") is False:
        return f"no rate meets {found['objective']}: {_best_there_was(found)}"
    if found.get("diverged"):
        return f"diverged at step {found['step']}, learning rate {found['learning_rate']:.3g}"
    return ""


def _best_there_was(found: results.Metrics) -> str:
    said = f"at {found['offered_rps']:.3g} requests/s"
    failed = found["errors"] + found["timeouts"]
    if failed:
        said += f" {failed} of {found['requests']} failed"
    if "latency_p99_s" in found:
        said += f"{',' if failed else ''} p99 of the latency was {found['latency_p99_s']:.3g} s"
    return said


def message(found: results.Metrics) -> str:
    """The note with what to change."""
    (remedy,) = (text for name, text in REMEDIES.items() if found.get(name))
    return f"{note(found)}; {remedy}"
