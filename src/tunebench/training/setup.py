"""A Trainer for a job: its model, its batches, and who looks on while it trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench import models, paths
from tunebench.config.options import OwnTraining
from tunebench.config.schema import PeftMethod
from tunebench.errors import TrainingError
from tunebench.models import memory
from tunebench.models.adapters import virtual_tokens
from tunebench.prompts import batching, tokenization
from tunebench.training import batch_size, logits, packing, precision, process
from tunebench.training.job import Job

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainingArguments

    from tunebench.training.checkpoints import Checkpoints
    from tunebench.training.trainer import Trainer

log = logging.getLogger(__name__)


def arguments(job: Job) -> TrainingArguments:
    """TrainingArguments of one of the processes that train together.

    Raises:
        TrainingError: if the library refuses them, or the processes do not come together.
    """
    from transformers import TrainingArguments

    _, given = OwnTraining.part(job.settings)
    processes = process.count()
    device = "cpu" if given.get("use_cpu") else models.device()
    mixed = precision.chosen(job.base.settings.dtype, given, device)
    if device == "cpu" and job.base.settings.dtype == "float16" and mixed:
        log.warning(
            "%s: a CPU has no loss scaler for float16: the model trains in bfloat16", job.name
        )
    # several processes would else train alone, and bfloat16 be refused
    needs_cpu = processes > 1 or (given | mixed).get("bf16", False)
    defaults = {
        "report_to": "none",
        "include_num_input_tokens_seen": "non_padding",
        "remove_unused_columns": False,
        "dataloader_pin_memory": models.device() == "cuda",
        "use_cpu": device == "cpu" and needs_cpu,
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
        made = TrainingArguments(**defaults | batch_size.share(given, processes) | mixed | managed)
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


def trainer(
    job: Job, arguments: TrainingArguments, checkpoints: Checkpoints, seconds: Callable[[], float]
) -> Trainer:
    """The model with its adapter, the rows as batches, and what is told meanwhile.

    Args:
        seconds: of training so far.

    Raises:
        TrainingError: if a setting does not work with the model, or there is nothing to learn.
    """
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from tunebench.training import sharding
    from tunebench.training.adalora import AllocateRanks, allocates_ranks
    from tunebench.training.callbacks import (
        KeepEpochs,
        LogAtCheckpoints,
        TrainingBar,
    )
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
    _refuse_nothing_learned(job, rows["train"])
    pad_id = tokenization.pad_id(tokenizer, model.config)
    with _blamed_on(f"{job.name}: training"):
        with precision.autocast(arguments):
            sequences = _sequences(job, model, rows["train"], pad_id)
            labelled = _labelled(job, model, rows["train"], pad_id)
        made = Trainer(
            model=model,
            args=arguments,
            train_dataset=sharding.Rows(sequences),
            eval_dataset=rows["validation"] or None,
            data_collator=batching.Collator(pad_id, flat=packing.is_flat(model)),
            by_length="train_sampling_strategy" not in given,
            labelled=labelled,
            # an adapter is written in float32, as PEFT does
            written_in=None if isinstance(job.method, PeftMethod) else job.base.settings.dtype,
        )
    for printer in (PrinterCallback, ProgressCallback):
        made.remove_callback(printer)
    limit = given.get("save_total_limit") or 1
    own_callbacks = [
        LogAtCheckpoints(),
        TrainingBar(),
        CompleteCheckpoints(checkpoints, seconds, limit),
    ]
    if allocates_ranks(model):
        own_callbacks.insert(0, AllocateRanks(job.name, model))
    if made.args.save_strategy == "epoch":
        epochs = paths.epochs(job.checkpoints)
        own_callbacks.append(KeepEpochs(epochs, lambda into: save(made, into)))
    if job.history is not None:
        own_callbacks.append(LiveHistory(job.history))
    for callback in own_callbacks:
        made.add_callback(callback)
    return made


def _model(job: Job) -> PreTrainedModel:
    if not isinstance(job.method, PeftMethod):
        # as precise as the files are: rounded in the forward, and where it is written
        return models.load(job.base, job.method, dtype="float32")
    model = models.load(job.base, job.method)
    with _blamed_on(f"{job.name}: adapter"):
        model = models.with_adapter(model, job.method, job.settings)
    precision.hold_in_float32(model)
    return model


@contextmanager
def _blamed_on(place: str) -> Iterator[None]:
    """Name the settings that a library refused; its own message tells why."""
    try:
        yield
    except (TypeError, ValueError, ImportError, LookupError, RuntimeError) as error:
        if memory.is_exhausted(error):
            raise
        raise TrainingError(f"{place}: {error}") from error


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
        return packing.concatenated(rows, _concatenated_length(job, model, own.packing_length))
    if not own.packing:
        return rows
    if not packing.keeps_rows_apart(model, rows, pad_id):
        log.warning(
            "%s: packing: this model mixes rows of one sequence; each gets its own", job.name
        )
        return rows
    return packing.packed(rows, own.packing_length, seed=job.seed)


def _concatenated_length(job: Job, model: PreTrainedModel, asked: int) -> int:
    """What is asked for, or what the context has room for behind virtual tokens."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None or asked + virtual_tokens(model) <= context:
        return asked
    room = int(context) - virtual_tokens(model)
    log.warning("%s: packing_length: the context holds %d tokens, not %d", job.name, room, asked)
    return room


def _labelled(
    job: Job, model: PreTrainedModel, rows: Sequence[batching.Example], pad_id: int
) -> logits.LabelledLogits | None:
    """What leaves prompt tokens' logits out, tried on a short and a middling row."""
    if job.settings.get("label_smoothing_factor"):
        return None  # which the library's own loss knows
    if models.sharded():
        return None  # each process holds a part of the head, and gathers it in the forward alone
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    batch = batching.Collator(pad_id)([ordered[0], ordered[len(ordered) // 2]])
    del batch["row_lengths"]
    found = logits.labelled(
        model, {name: tensor.to(model.device) for name, tensor in batch.items()}
    )
    if found is None:
        log.warning(
            "%s: logits of prompts are computed too: this model's loss needs them", job.name
        )
    return found


def save(trainer: Trainer, into: AbstractContextManager[Path]) -> None:
    """Save the model: by the first process, to which the others send what they hold of it."""
    sharded, dtype = trainer.is_fsdp_enabled, trainer.written_in
    weights = trainer.accelerator.get_state_dict(trainer.model) if sharded else None
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        if dtype not in (None, "float32"):
            weights = precision.rounded(model, weights or model.state_dict(), dtype)
        # PEFT would otherwise ask the Hub whether the vocabulary has grown; here it never does
        options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        with into as folder:
            model.save_pretrained(folder, state_dict=weights, **options)
            if dtype not in (None, model.config.dtype):  # that of its weights now
                model.config.dtype = dtype
                model.config.save_pretrained(folder)
