"""Runs that end without a score, which is a result too: its metrics, and a note for people.

- `does_not_fit`: solved examples leave no room for the text
- `out_of_memory`: of the GPU, or of this process
- `diverged`: the loss or the weights are NaN or infinite
- `objective_met: false`: no request rate is shown to meet the objective of a load test
- `not_servable`: the adapter cannot be merged, and the server cannot load it
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
    """Metrics of a run that has just run out of memory."""
    return {"out_of_memory": True, "peak_memory_bytes": memory.peak_bytes()}


def diverged(error: Diverged) -> results.Metrics:
    """Metrics of a run whose loss is NaN or infinite."""
    return {"diverged": True, "step": error.step, "learning_rate": error.learning_rate}


def not_servable(server: str) -> results.Metrics:
    """Metrics of a load test whose adapter the server cannot load."""
    return {"not_servable": True, "server": server}


def failure(trained: Path | None) -> results.Metrics | None:
    """The metrics of a training run that ended without a model; None if it has one."""
    path = trained and paths.failure(trained)
    return results.read(path) if path and path.exists() else None


# values of the column `status`
STATUS = {
    "does_not_fit": "does not fit",
    "out_of_memory": "out of memory",
    "not_servable": "in-process only",
    "diverged": "diverged",
}


def status(metrics: results.Metrics) -> str:
    """How a run ended, in one to three words: `ok` if it has a score."""
    return next((text for name, text in STATUS.items() if metrics.get(name)), "ok")


def note(metrics: results.Metrics) -> str:
    """Why there is no score, in a few words; empty if there is one."""
    if metrics.get("does_not_fit"):
        needed, available = metrics["tokens_needed"], metrics["tokens_available"]
        return f"does not fit: {needed:,} tokens needed, {available:,} there are"
    if metrics.get("out_of_memory"):
        return f"out of memory at {metrics['peak_memory_bytes'] / 1e9:.3g} GB"
    if metrics.get("not_servable"):
        return (
            f"in-process only: it cannot be merged, and {metrics['server']} takes no such adapter"
        )
    if metrics.get("objective_met") is False:
        objective, miss = metrics["objective"], _nearest_miss(metrics)
        if metrics.get("needs_longer"):
            return f"no rate is shown to meet {objective}: {miss}; raise longest_hold_s"
        return f"no rate meets {objective}: {miss}"
    if metrics.get("diverged"):
        return f"diverged at step {metrics['step']}, learning rate {metrics['learning_rate']:.3g}"
    return ""


def _nearest_miss(metrics: results.Metrics) -> str:
    parts = [
        f"{100 * share:.3g}% above {name.removeprefix('late_')}"
        for name, share in metrics.items()
        if name.startswith("late_")
    ]
    failed = metrics["errors"] + metrics["timeouts"]
    if failed:
        error = metrics["most_common_error"]
        parts.append(f"{failed} of {metrics['requests']} failed, most by {error}")
    if "latency_p99_s" in metrics:
        parts.append(f"p99 of the latency was {metrics['latency_p99_s']:.3g} s")
    return f"at {metrics['offered_rps']:.3g} requests/s {', '.join(parts)}"


def message(metrics: results.Metrics) -> str:
    """The note, with the setting to change."""
    (remedy,) = (text for name, text in REMEDIES.items() if metrics.get(name))
    return f"{note(metrics)}; {remedy}"
