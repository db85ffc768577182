"""Metrics of a training run: time, memory, throughput and MFU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunebench import results
from tunebench.errors import Diverged
from tunebench.training import flops

if TYPE_CHECKING:
    from tunebench.training.trainer import Trainer

T = TypeVar("T", int, bool)

HISTORY = ("step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm")


def metrics(
    trainer: Trainer, output: Path, spans: Mapping[str, float], peaks: Mapping[str, Any]
) -> results.Metrics:
    """Metrics of a finished run over all its processes; memory is the largest of them.

    Args:
        output: the folder of the trained model.
        spans: seconds of loading, training and saving, by metric name.
        peaks: memory of this process, from `memory.Phase`.
    """
    tokens, train_s = trainer.state.num_input_tokens_seen, spans["train_s"]
    measured = {
        "sequences": len(trainer.train_dataset),
        "steps": trainer.state.global_step,
        "loss": _mean_loss(trainer.state.log_history),
        **spans,
        "tokens": tokens,
        "tokens_per_s": tokens / train_s,
        "trainable_parameters": trainer.weights.trainable,
        "parameters": trainer.weights.total,
        "adapter_bytes": sum(path.stat().st_size for path in output.glob("*.safetensors")),
        **{name: _max_over_processes(trainer, value) for name, value in peaks.items()},
        **_utilization(trainer, tokens, train_s * trainer.args.world_size),
    }
    return results.rounded_all(measured)


def validation_loss(trainer: Trainer) -> dict[str, float]:
    """`validation_loss` at the end of training, where there are validation rows.

    Raises:
        Diverged: if it is NaN or infinite.
    """
    if not trainer.eval_dataset:
        return {}
    state = trainer.state
    last = [entry for entry in state.log_history if "eval_loss" in entry][-1:]
    measured = last[0] if last and last[0]["step"] == state.global_step else trainer.evaluate()
    if not math.isfinite(measured["eval_loss"]):
        raise Diverged(state.global_step, trainer.last_learning_rate())
    return {"validation_loss": results.rounded(measured["eval_loss"])}


def _max_over_processes(trainer: Trainer, value: T) -> T:
    """The largest value among the processes, an int or a bool."""
    import torch

    own = torch.tensor(int(value), device=trainer.args.device)
    return type(value)(trainer.accelerator.gather(own).max())


def history(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries of a Trainer's log that have a loss, with the keys in `HISTORY`."""
    return [
        {key: entry[key] for key in HISTORY if key in entry}
        for entry in log
        if "loss" in entry or "eval_loss" in entry
    ]


def _utilization(trainer: Trainer, tokens: int, device_s: float) -> dict[str, float]:
    """FLOPs per second of each device, and their share of its peak.

    Args:
        tokens: seen in training, without padding.
        device_s: seconds of training, of all devices.
    """
    rows = [trainer.train_dataset[index] for index in range(len(trainer.train_dataset))]
    epochs = tokens / sum(len(row["input_ids"]) for row in rows)
    spent = flops.of_epoch(trainer.weights, trainer.model.config.get_text_config(), rows)
    per_s = spent.model * epochs / device_s
    peak_per_s = flops.peak(_dtype(trainer), trainer.args.device)
    metrics = {"model_flops_per_s": per_s, "model_flops_utilization": per_s / peak_per_s}
    if _recomputes(trainer):
        with_recomputation = (spent.model + spent.recomputation) * epochs / device_s
        metrics["hardware_flops_utilization"] = with_recomputation / peak_per_s
    return metrics


def _recomputes(trainer: Trainer) -> bool:
    """Whether the backward pass computes activations again, as transformers or FSDP let it."""
    sharding = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    return bool(
        trainer.args.gradient_checkpointing or (sharding and sharding.activation_checkpointing)
    )


def _dtype(trainer: Trainer) -> Any:
    """The dtype of matrix products: that of mixed precision, else the weights'."""
    import torch

    mixed = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return mixed.get(trainer.args.mixed_precision, trainer.model.dtype)


def _mean_loss(log: Sequence[Mapping[str, Any]]) -> float:
    """Mean over all steps; the Trainer's own mean of a resumed run omits the earlier ones."""
    losses = {int(entry["step"]): float(entry["loss"]) for entry in log if "loss" in entry}
    spans = pairwise([0, *losses])
    return sum((end - start) * losses[end] for start, end in spans) / max(losses)
