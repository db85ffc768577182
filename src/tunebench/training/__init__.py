"""The only training loop: `transformers.Trainer` over the completions of formatted prompts."""

from __future__ import annotations

import gc
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
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
from tunebench.training import launch, process, recording

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainingArguments

    from tunebench.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Job:
    """One run: what to train on, how, and where its files go.

    `name` stands in messages; `settings` are TrainingArguments fields and `loss_on`, already merged
    for this run. `history` is where the loss is written while it trains.
    """

    name: str
    base: models.Base
    method: TuningMethod
    settings: Options
    seed: int
    prompts: Sequence[Prompt]
    checkpoints: Path
    output: Path
    history: Path | None = None

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


class Ended(Exception):  # noqa: N818 - no fault, an outcome
    """Training that ended without a model."""

    def __init__(self, metrics: results.Metrics, history: list[dict[str, Any]]) -> None:
        self.metrics, self.history = metrics, history


def train(job: Job) -> Outcome:
    """Train, write the adapter (or the whole model) to `job.output`, and measure.

    A run that was killed goes on from its last whole checkpoint, if nothing that it depends on has
    changed since, and ends in the same weights as one that was not. With `auto_find_batch_size` a
    batch that does not fit is halved, and gradients are summed over twice as many: the same
    training in smaller parts. With `launch` several processes train together.

    Raises:
        TrainingError: if it can not start, or go on.
    """
    launched = launch.asked(job.settings)
    try:
        return launch.train(job, launched) if launched else attempt(job)
    except Ended as ended:
        metrics, history = ended.metrics, ended.history
    # past the except clause, which would keep the model in memory
    gc.collect()
    if metrics.get("out_of_memory") and (smaller := _in_smaller_parts(job)):
        return train(smaller)
    shutil.rmtree(job.output, ignore_errors=True)
    results.write(paths.failure(job.output), metrics)
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    print(f"{job.name}: {outcomes.message(metrics)}. Other runs go on.", file=sys.stderr)
    return Outcome({"rows": job.rows} | metrics, history)


def attempt(job: Job) -> Outcome:
    """Train in this process, which may be one of several that all do the same.

    Raises:
        Ended: if memory ends, or the loss is no number any more.
        TrainingError: if it can not start, or go on.
    """
    from accelerate import PartialState

    from tunebench.training.checkpoints import Checkpoints, is_full_disk

    started = perf_counter()
    arguments = _arguments(job)  # first: they bring the processes together
    kept = Checkpoints(job.checkpoints, job.identity())
    with PartialState().main_process_first():  # which removes what is of no use
        resumed = kept.last()
    earlier_s = kept.seconds(resumed)
    trainer = None
    try:
        trainer = _trainer(job, arguments, kept, lambda: earlier_s + perf_counter() - loaded)
        loaded = perf_counter()
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except Diverged as error:
        raise Ended(outcomes.diverged(error), _history(trainer)) from None
    except Exception as error:
        if memory.has_ended(error):
            raise Ended(outcomes.out_of_memory(), _history(trainer)) from None
        if is_full_disk(error):
            raise _full(job, kept, trainer) from error
        raise
    trained = perf_counter()
    _write(job, trainer, kept)
    spans = {
        "load_s": loaded - started,
        "train_s": earlier_s + trained - loaded,
        "save_s": perf_counter() - trained,
    }
    measured = recording.metrics(trainer, job.output, spans)
    return Outcome({"rows": job.rows} | measured, _history(trainer))


def _write(job: Job, trainer: Trainer, kept: Checkpoints) -> None:
    """What was trained, in the place of an older run's files, which would be loaded with ours."""
    main = trainer.is_world_process_zero()
    if main:
        shutil.rmtree(job.output, ignore_errors=True)
    _save(trainer, nullcontext(job.output))
    if main and paths.epochs(job.checkpoints).exists():
        # copied: a kill before the checkpoints are gone would otherwise leave none to go on with
        shutil.copytree(paths.epochs(job.checkpoints), paths.epochs(job.output))
    if main:
        kept.remove()


def _in_smaller_parts(job: Job) -> Job | None:
    """The same training in smaller batches, where `auto_find_batch_size` allows and it can be."""
    _, arguments = OwnTraining.part(job.settings)
    batch = arguments.get("per_device_train_batch_size", launch.DEFAULT_BATCH_SIZE)
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
    except (TypeError, ValueError, ImportError) as error:
        raise TrainingError(f"{place}: {error}") from error


def _arguments(job: Job) -> TrainingArguments:
    from transformers import TrainingArguments

    _, arguments = OwnTraining.part(job.settings)
    processes = process.count()
    defaults = {
        "report_to": "none",
        "include_num_input_tokens_seen": "non_padding",
        "remove_unused_columns": False,
        "dataloader_pin_memory": models.device() == "cuda",
        "use_cpu": processes > 1 and models.device() == "cpu",  # else each would train alone
    }
    managed = {
        "output_dir": str(job.checkpoints),
        "seed": job.seed,
        "data_seed": job.seed,
        "save_total_limit": None,  # the library would remove the old one before the new is whole
        "auto_find_batch_size": False,  # the library would train on smaller batches, not on parts
        "logging_nan_inf_filter": False,
    }
    with _blamed_on(f"{job.name}: training"):
        made = TrainingArguments(**defaults | launch.share(arguments, processes) | managed)
    if made.world_size != processes:
        raise TrainingError(
            f"{job.name}: training.launch: {processes} processes were started, and"
            f" {made.world_size} work together; use_cpu and ddp_backend decide through what"
        )
    if processes > 1 and job.base.settings.device_map and not models.sharded():
        raise TrainingError(
            f"{job.name}: training.launch: each process has one GPU, over which the model's"
            " device_map cannot spread it; remove it, or use launch/fsdp.yaml"
        )
    return made


def _trainer(
    job: Job, arguments: TrainingArguments, kept: Checkpoints, seconds: Callable[[], float]
) -> Trainer:
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from tunebench.training import sharing
    from tunebench.training.callbacks import KeepEpochs, LogAtCheckpoints, TrainingBar
    from tunebench.training.checkpoints import CompleteCheckpoints
    from tunebench.training.history import LiveHistory
    from tunebench.training.trainer import Trainer

    memory.reset_peak()
    set_seed(job.seed)  # before the adapter's weights are drawn
    tokenizer = models.load_tokenizer(job.base)
    model = _model(job)
    own, given = OwnTraining.part(job.settings)
    rows = {
        split: batching.examples(
            [prompt for prompt in job.prompts if prompt.split == split],
            tokenizer,
            loss_on=own.loss_on,
        )
        for split in ("train", "validation")
    }
    if own.packing:
        rows["train"] = batching.pack(rows["train"], own.packing_length)
    with _blamed_on(f"{job.name}: training"):
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=sharing.Rows(rows["train"]),
            eval_dataset=rows["validation"] or None,
            data_collator=batching.Collator(tokenization.pad_id(tokenizer)),
        )
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    limit = given.get("save_total_limit") or 1
    own_callbacks = [LogAtCheckpoints(), TrainingBar(), CompleteCheckpoints(kept, seconds, limit)]
    if trainer.args.save_strategy == "epoch":
        epochs = paths.epochs(job.checkpoints)
        own_callbacks.append(KeepEpochs(epochs, lambda into: _save(trainer, into)))
    if job.history is not None:
        own_callbacks.append(LiveHistory(job.history))
    for callback in own_callbacks:
        trainer.add_callback(callback)
    return trainer


def _save(trainer: Trainer, into: AbstractContextManager[Path]) -> None:
    """Save the model: by the first process, to which the others send what they hold of it."""
    sharded = trainer.is_fsdp_enabled
    weights = trainer.accelerator.get_state_dict(trainer.model) if sharded else None
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        # PEFT would otherwise ask the Hub whether the vocabulary has grown; here it never does
        options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        with into as folder:
            model.save_pretrained(folder, state_dict=weights, **options)


def _history(trainer: Trainer | None) -> list[dict[str, Any]]:
    return recording.history(trainer.state.log_history) if trainer else []


def write_history(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's loss history, as it was written while it trained."""
    from tunebench.training import history

    history.write(folder, entries)
