"""The only training loop: `transformers.Trainer` over the completions of formatted prompts."""

from __future__ import annotations

import csv
import gc
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from tunebench import (
    batching,
    memory,
    models,
    outcomes,
    paths,
    results,
    tokenization,
)
from tunebench.config.options import Options, OwnTraining
from tunebench.config.schema import PeftMethod, TuningMethod
from tunebench.errors import Diverged, TrainingError
from tunebench.prompts import Prompt
from tunebench.training import logits, packing, recording, search

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.training.checkpoints import Checkpoints
    from tunebench.training.trainer import Trainer

DEFAULT_BATCH_SIZE = 8  # TrainingArguments' own
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

    @property
    def rows(self) -> int:
        """Training rows."""
        return sum(prompt.split == "train" for prompt in self.prompts)

    def described(self) -> dict[str, Any]:
        """Everything but the rows that decides what comes out."""
        return {
            "model": self.base.described(),
            "method": self.method,
            "training": self.settings,
            "seed": self.seed,
        }

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run to be its own."""
        rows = repr([(prompt.prompt, prompt.completion, prompt.split) for prompt in self.prompts])
        return {
            "prompts": hashlib.sha256(rows.encode()).hexdigest(),
            "libraries": results.library_versions(),
            **to_jsonable_python(self.described()),
        }


@dataclass(frozen=True)
class Outcome:
    """Metrics of a run and its loss at each logged step.

    Where memory ended or the loss did, the metrics say so, and there is no model.
    """

    metrics: results.Metrics
    history: list[dict[str, Any]]
    chosen: Options = field(default_factory=dict)  # the settings that a search found


class _Ended(Exception):  # noqa: N818 - no fault, an outcome
    """Training that ended without a model."""

    def __init__(self, metrics: results.Metrics, history: list[dict[str, Any]]) -> None:
        self.metrics, self.history = metrics, history


def train(job: Job) -> Outcome:
    """Train, write the adapter (or the whole model) to `job.output`, and measure.

    A run that was killed goes on from its last whole checkpoint, if nothing that it depends on has
    changed since, and ends in the same weights as one that was not. With `auto_find_batch_size` a
    batch that does not fit is halved, and gradients are summed over twice as many: the same
    training in smaller parts. With `search` in its method each trial is trained; see `search`.

    Raises:
        TrainingError: if it can not start, or go on.
    """
    return search.train(job, _train_once) if job.method.search else _train_once(job)


def _train_once(job: Job) -> Outcome:
    try:
        return _train(job)
    except _Ended as ended:
        metrics, history = ended.metrics, ended.history
    # past the except clause, which would keep the model in memory
    gc.collect()
    if metrics.get("out_of_memory") and (smaller := _in_smaller_parts(job)):
        return _train_once(smaller)
    shutil.rmtree(job.output, ignore_errors=True)
    results.write(paths.failure(job.output), metrics)
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    print(f"{job.name}: {outcomes.message(metrics)}. Other runs go on.", file=sys.stderr)
    return Outcome({"rows": job.rows} | metrics, history)


def _train(job: Job) -> Outcome:
    from tunebench.training.checkpoints import Checkpoints, is_full_disk

    started = perf_counter()
    kept = Checkpoints(job.checkpoints, job.identity())
    resumed = kept.last()
    earlier_s = kept.seconds(resumed)
    trainer = None
    try:
        trainer = _trainer(job, kept, seconds=lambda: earlier_s + perf_counter() - loaded)
        loaded = perf_counter()
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        trained = perf_counter()
        validated = recording.validation_loss(trainer)
    except Diverged as error:
        raise _Ended(outcomes.diverged(error), _history(trainer)) from None
    except Exception as error:
        if memory.has_ended(error):
            raise _Ended(outcomes.out_of_memory(), _history(trainer)) from None
        if is_full_disk(error):
            raise _full(job, kept, trainer) from error
        raise
    validated_at = perf_counter()
    _write(job, trainer.model, kept)
    spans = {
        "load_s": loaded - started,
        "train_s": earlier_s + trained - loaded,
        "save_s": perf_counter() - validated_at,
    }
    measured = recording.metrics(trainer, job.output, spans) | validated
    return Outcome({"rows": job.rows} | measured, _history(trainer))


def _write(job: Job, model: PreTrainedModel, kept: Checkpoints) -> None:
    """What was trained, in the place of an older run's files, which would be loaded with ours."""
    shutil.rmtree(job.output, ignore_errors=True)
    _save(model, job.output)
    if paths.epochs(job.checkpoints).exists():
        # copied: a kill before the checkpoints are gone would otherwise leave none to go on with
        shutil.copytree(paths.epochs(job.checkpoints), paths.epochs(job.output))
    kept.remove()


def _in_smaller_parts(job: Job) -> Job | None:
    """The same training in smaller batches, where `auto_find_batch_size` allows and it can be."""
    _, arguments = OwnTraining.part(job.settings)
    batch = arguments.get("per_device_train_batch_size", DEFAULT_BATCH_SIZE)
    if not arguments.get("auto_find_batch_size") or batch == 1:
        return None
    parts = next(parts for parts in range(2, batch + 1) if batch % parts == 0)
    steps = arguments.get("gradient_accumulation_steps", 1)
    smaller = {
        "per_device_train_batch_size": batch // parts,
        "gradient_accumulation_steps": steps * parts,
    }
    return replace(job, settings={**job.settings, **smaller})


def _full(job: Job, kept: Checkpoints, trainer: Trainer | None) -> TrainingError:
    kept.remove_unfinished()
    weights = (
        [weight for weight in trainer.model.parameters() if weight.requires_grad] if trainer else []
    )
    needed = 3 * sum(weight.nbytes for weight in weights)  # with Adam's two moments
    free = shutil.disk_usage(job.checkpoints).free
    return TrainingError(
        f"{job.name}: the disk is full while saving: {free / 1e9:.2g} GB are free now at"
        f" {job.checkpoints}, and a checkpoint takes about {needed / 1e9:.2g} GB. Free some and"
        " run again: it goes on from the last whole checkpoint"
    )


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
    except (TypeError, ValueError, ImportError, LookupError, RuntimeError) as error:
        if memory.has_ended(error):
            raise
        raise TrainingError(f"{place}: {error}") from error


def _trainer(job: Job, kept: Checkpoints, *, seconds: Callable[[], float]) -> Trainer:
    from transformers import TrainingArguments, set_seed
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from tunebench.training.callbacks import (
        AllocateRanks,
        KeepEpochs,
        LogAtCheckpoints,
        TrainingBar,
    )
    from tunebench.training.checkpoints import CompleteCheckpoints
    from tunebench.training.trainer import Trainer

    memory.reset_peak()
    set_seed(job.seed)  # before the adapter's weights are drawn
    tokenizer = models.load_tokenizer(job.base)
    model = _model(job)
    own, arguments = OwnTraining.part(job.settings)
    rows = {
        split: batching.examples(
            [prompt for prompt in job.prompts if prompt.split == split],
            tokenizer,
            loss_on=own.loss_on,
        )
        for split in ("train", "validation")
    }
    _refuse_nothing_learned(job, rows["train"])
    pad_id = tokenization.pad_id(tokenizer)
    defaults = {
        "report_to": "none",
        "include_num_input_tokens_seen": "non_padding",
        "remove_unused_columns": False,
        "dataloader_pin_memory": models.device() == "cuda",
    }
    limit = arguments.get("save_total_limit") or 1
    managed = {
        "output_dir": str(job.checkpoints),
        "seed": job.seed,
        "data_seed": job.seed,
        "save_total_limit": None,  # the library would remove the old one before the new is whole
        "auto_find_batch_size": False,  # the library would train on smaller batches, not on parts
        "logging_nan_inf_filter": False,
    }
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
    own_callbacks = [
        AllocateRanks(),
        LogAtCheckpoints(),
        TrainingBar(),
        CompleteCheckpoints(kept, seconds, limit),
    ]
    if trainer.args.save_strategy == "epoch":
        epochs = paths.epochs(job.checkpoints)
        own_callbacks.append(KeepEpochs(epochs, lambda folder: _save(model, folder)))
    for callback in own_callbacks:
        trainer.add_callback(callback)
    return trainer


def _refuse_nothing_learned(job: Job, rows: Sequence[batching.Example]) -> None:
    # a row's first token is never predicted: nothing stands before it
    if not any(label != batching.IGNORED for row in rows for label in row["labels"][1:]):
        raise TrainingError(
            f"{job.name}: no token of the {len(rows)} training rows counts in the loss; give them"
            " completions, or set loss_on: all"
        )


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


def _save(model: PreTrainedModel, folder: Path) -> None:
    # PEFT would otherwise ask the Hub whether the vocabulary has grown; here it never does
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(folder, **options)


def _history(trainer: Trainer | None) -> list[dict[str, Any]]:
    return recording.history(trainer.state.log_history, HISTORY_COLUMNS) if trainer else []


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's loss history as CSV, one line for each logged step."""
    with results.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
