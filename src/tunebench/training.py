"""The only training loop: `transformers.Trainer` over the completions of formatted prompts."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from tunebench import batching, logits, memory, models, packing, paths, results, tokenization
from tunebench.config.options import Options, OwnTraining
from tunebench.config.schema import PeftMethod, TuningMethod
from tunebench.errors import TrainingError
from tunebench.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.trainer import Trainer

HISTORY_COLUMNS = ("step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm")


@dataclass(frozen=True)
class Job:
    """One run: what to train on, how, and where its files go.

    `name` stands in messages; `settings` are TrainingArguments fields and `loss_on`, already merged
    for this run.
    """

    name: str
    base: models.Base
    method: TuningMethod
    settings: Options
    seed: int
    prompts: Sequence[Prompt]
    checkpoints: Path
    output: Path

    def described(self) -> dict[str, Any]:
        """Everything but the rows that decides what comes out."""
        return {
            "model": self.base.described(),
            "method": self.method,
            "training": self.settings,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Outcome:
    """Metrics of a finished run and its loss at each logged step."""

    metrics: results.Metrics
    history: list[dict[str, Any]]


def train(job: Job) -> Outcome:
    """Train, write the adapter (or the whole model) to `job.output`, and measure.

    A run that was killed goes on from its last whole checkpoint, if nothing that it depends on has
    changed since, and ends in the same weights as one that was not.
    """
    import torch
    from transformers import set_seed

    set_seed(job.seed)  # before the adapter's weights are drawn
    tokenizer = models.load_tokenizer(job.base)
    model = _model(job)
    memory.reset_peak()
    trainer = _trainer(job, model, tokenizer)
    resumed = _last_checkpoint(job)
    try:
        report = trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except torch.OutOfMemoryError:
        raise TrainingError(
            f"{job.name}: out of memory at {memory.peak_bytes() / 1e9:.1f} GB; lower"
            " per_device_train_batch_size (and raise gradient_accumulation_steps), set"
            " gradient_checkpointing: true, or shorten max_length"
        ) from None
    _refuse_divergence(job, model)
    shutil.rmtree(job.output, ignore_errors=True)  # an older run's files would be loaded with ours
    _save(model, job.output)
    if paths.epochs(job.checkpoints).exists():
        # copied: a kill before the checkpoints are gone would otherwise leave none to go on with
        shutil.copytree(paths.epochs(job.checkpoints), paths.epochs(job.output))
    _remove_checkpoints(job)
    return Outcome(_metrics(job, model, trainer, report.metrics), _history(trainer))


def _model(job: Job) -> PreTrainedModel:
    model = models.load(job.base, job.method)
    if not isinstance(job.method, PeftMethod):
        return model
    with _blamed_on(f"{job.name}: adapter"):
        return models.with_adapter(model, job.method, job.settings)


@contextmanager
def _blamed_on(place: str) -> Iterator[None]:
    """Name the settings that a library refused; its own message tells why."""
    try:
        yield
    except (TypeError, ValueError, ImportError) as error:
        raise TrainingError(f"{place}: {error}") from error


def _refuse_divergence(job: Job, model: PreTrainedModel) -> None:
    trained = (weight for weight in model.parameters() if weight.requires_grad)
    if not all(bool(weight.isfinite().all()) for weight in trained):
        rate = job.settings.get("learning_rate", "TrainingArguments' default")
        raise TrainingError(
            f"{job.name}: training diverged: weights are not finite; lower learning_rate ({rate})"
            " or max_grad_norm"
        )


def _trainer(job: Job, model: PreTrainedModel, tokenizer: tokenization.Tokenizer) -> Trainer:
    from transformers import TrainingArguments
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from tunebench.callbacks import KeepEpochs, LogAtCheckpoints, TrainingBar
    from tunebench.trainer import Trainer

    own, arguments = OwnTraining.part(job.settings)
    rows = {
        split: batching.examples(
            [prompt for prompt in job.prompts if prompt.split == split],
            tokenizer,
            loss_on=own.loss_on,
        )
        for split in ("train", "validation")
    }
    pad_id = tokenization.pad_id(tokenizer)
    defaults = {
        "report_to": "none",
        "save_total_limit": 1,
        "remove_unused_columns": False,
        "dataloader_pin_memory": models.device() == "cuda",
    }
    managed = {"output_dir": str(job.checkpoints), "seed": job.seed, "data_seed": job.seed}
    with _blamed_on(f"{job.name}: training"):
        trainer = Trainer(
            model=model,
            args=TrainingArguments(**defaults | arguments | managed),
            train_dataset=_sequences(job, model, rows["train"], pad_id),
            eval_dataset=rows["validation"] or None,
            data_collator=batching.Collator(pad_id, flat=packing.is_flat(model)),
            by_length="train_sampling_strategy" not in arguments,
            labelled=_labelled(job, model, rows["train"], pad_id),
        )
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    for callback in (LogAtCheckpoints, TrainingBar):
        trainer.add_callback(callback)
    if trainer.args.save_strategy == "epoch":
        kept = paths.epochs(job.checkpoints)
        trainer.add_callback(KeepEpochs(kept, lambda folder: _save(model, folder)))
    return trainer


def _sequences(
    job: Job, model: PreTrainedModel, rows: list[batching.Example], pad_id: int
) -> list[batching.Example]:
    """What `per_device_train_batch_size` counts: rows, or what `packing` makes of them."""
    own, _ = OwnTraining.part(job.settings)
    if own.packing == "concat":
        return packing.concatenated(rows, own.packing_length)
    if not own.packing:
        return rows
    if not packing.keeps_rows_apart(model, rows, pad_id):
        _say(job, "packing: this model mixes rows that share a sequence, so each has its own")
        return rows
    return packing.packed(rows, own.packing_length, seed=job.seed)


def _labelled(
    job: Job, model: PreTrainedModel, rows: Sequence[batching.Example], pad_id: int
) -> logits.LabelledLogits | None:
    """What leaves prompt tokens' logits out, tried on a short and a middling row."""
    if job.settings.get("label_smoothing_factor"):
        return None  # which the library's own loss knows
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    batch = batching.Collator(pad_id)([ordered[0], ordered[len(ordered) // 2]])
    del batch["row_lengths"]
    found = logits.labelled(
        model, {name: tensor.to(model.device) for name, tensor in batch.items()}
    )
    if found is None:
        _say(job, "logits are computed for prompts too: without them this model's loss is another")
    return found


def _say(job: Job, message: str) -> None:
    print(f"{job.name}: {message}", file=sys.stderr)


def _last_checkpoint(job: Job) -> Path | None:
    """The newest whole checkpoint of this very job; others are removed.

    The Trainer writes `trainer_state.json` last, so a checkpoint without it was cut off.
    """
    identity = _identity(job)
    stamp = _stamp(job)
    if not stamp.exists() or json.loads(stamp.read_text()) != identity:
        _remove_checkpoints(job)
        results.write(stamp, identity)
        return None
    whole = [path.parent for path in job.checkpoints.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)


def _stamp(job: Job) -> Path:
    return job.checkpoints / "job.json"


def _remove_checkpoints(job: Job) -> None:
    _stamp(job).unlink(missing_ok=True)  # first: what a kill leaves of the rest is then no one's
    shutil.rmtree(job.checkpoints, ignore_errors=True)


def _identity(job: Job) -> dict[str, Any]:
    rows = repr([(prompt.prompt, prompt.completion, prompt.split) for prompt in job.prompts])
    return {
        "prompts": hashlib.sha256(rows.encode()).hexdigest(),
        **to_jsonable_python(job.described()),
    }


def _save(model: PreTrainedModel, folder: Path) -> None:
    # PEFT would otherwise ask the Hub whether the vocabulary has grown; here it never does
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(folder, **options)


def _metrics(
    job: Job, model: PreTrainedModel, trainer: Trainer, measured: Mapping[str, float]
) -> results.Metrics:
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    files = [path for path in job.output.glob("*.safetensors") if path.is_file()]
    return {
        "rows": sum(prompt.split == "train" for prompt in job.prompts),
        "sequences": len(trainer.train_dataset),
        "steps": trainer.state.global_step,
        "loss": results.rounded(_mean_loss(trainer.state.log_history)),
        "train_s": results.rounded(measured["train_runtime"], 4),
        "rows_per_s": results.rounded(measured["train_samples_per_second"], 4),
        "trainable_parameters": trainable,
        "adapter_bytes": sum(path.stat().st_size for path in files),
        "peak_memory_bytes": memory.peak_bytes(),
    }


def _mean_loss(log: Sequence[Mapping[str, Any]]) -> float:
    """Mean over all steps; the Trainer's own counts from where a killed run went on."""
    losses = {int(entry["step"]): float(entry["loss"]) for entry in log if "loss" in entry}
    spans = pairwise([0, *losses])
    return sum((end - start) * losses[end] for start, end in spans) / max(losses)


def _history(trainer: Trainer) -> list[dict[str, Any]]:
    return [
        {column: entry.get(column, "") for column in HISTORY_COLUMNS}
        for entry in trainer.state.log_history
        if "loss" in entry or "eval_loss" in entry
    ]


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's loss history as CSV, one line for each logged step."""
    with results.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
