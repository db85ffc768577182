"""A Trainer for a job: its model, its batches, its callbacks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench import models, paths, results
from tunebench.config.options import OwnTraining
from tunebench.config.schema import PeftMethod
from tunebench.errors import TrainingError
from tunebench.models import memory
from tunebench.models.adapters import virtual_tokens
from tunebench.prompts import batching, tokenization
from tunebench.training import batch_size, logits, packing, precision, process
from tunebench.training import trackers as tracking
from tunebench.training.job import Job

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, TrainingArguments

    from tunebench.training.checkpoints import Checkpoints
    from tunebench.training.trainer import Trainer

log = logging.getLogger(__name__)


def arguments(job: Job) -> TrainingArguments:
    """TrainingArguments of this process.

    Raises:
        TrainingError: if the library refuses them, or not all processes joined the process group.
    """
    from transformers import TrainingArguments

    _, options = OwnTraining.part(job.settings)
    processes = process.count()
    device = "cpu" if options.get("use_cpu") else models.device()
    mixed = precision.mixed_precision(job.base.settings.dtype, options, device)
    if device == "cpu" and job.base.settings.dtype == "float16" and mixed:
        log.warning(
            "%s: a CPU has no loss scaler for float16: the model trains in bfloat16", job.name
        )
    # without it, several processes would train alone, and bfloat16 would be refused
    needs_cpu = processes > 1 or (options | mixed).get("bf16", False)
    defaults = {
        "report_to": "none",
        "include_num_input_tokens_seen": "non_padding",
        "remove_unused_columns": False,
        "dataloader_pin_memory": models.device() == "cuda",
        "use_cpu": device == "cpu" and needs_cpu,
    }
    managed = {
        "output_dir": str(job.checkpoints),
        "run_name": job.name,
        "seed": job.seed,
        "data_seed": job.seed,
        "save_total_limit": None,  # the library removes the old one before the new is complete
        "auto_find_batch_size": False,  # the library lowers the batch without accumulation
        "logging_nan_inf_filter": False,
    }
    with _errors_at(f"{job.name}: training"):
        training_arguments = TrainingArguments(
            **defaults | batch_size.share(options, processes) | mixed | managed
        )
    if training_arguments.world_size != processes:
        raise TrainingError(
            f"{job.name}: training.launch: {processes} processes were started, and"
            f" {training_arguments.world_size} work together; use_cpu and ddp_backend decide"
            " through what"
        )
    if processes > 1 and job.base.settings.device_map and not models.sharded():
        raise TrainingError(
            f"{job.name}: training.launch: each process has one GPU, over which the model's"
            " device_map cannot spread it; remove it, or use launch/fsdp.yaml"
        )
    return training_arguments


def import_libraries(job: Job, trackers: Iterable[str] = ()) -> None:
    """Import what training would import later, which would count as memory of the run."""
    names = ["transformers.models.auto.modeling_auto", "tunebench.training.trainer"]
    names += ["torch._dynamo"]  # by the first step of an optimizer
    names += ["peft"] if isinstance(job.method, PeftMethod) else []
    names += ["bitsandbytes"] if getattr(job.method, "quantization", None) else []
    names += ["dvclive", "dvc.repo"] if job.history else []
    for name in [*names, *tracking.modules(trackers)]:
        import_module(name)


def trainer(
    job: Job, arguments: TrainingArguments, checkpoints: Checkpoints, seconds: Callable[[], float]
) -> Trainer:
    """A Trainer with the model and its adapter, the rows as batches, and the callbacks.

    Args:
        seconds: returns the seconds of training so far.

    Raises:
        TrainingError: if a setting does not work with the model, or no token counts in the loss.
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

    set_seed(job.seed)  # before the adapter's weights are initialized
    tokenizer = models.load_tokenizer(job.base)
    model = _model(job)
    own, options = OwnTraining.part(job.settings)
    rows = {
        split: batching.examples(
            [prompt for prompt in job.prompts if prompt.split == split],
            tokenizer,
            loss_on=own.loss_on,
        )
        for split in ("train", "validation")
    }
    _check_labels(job, rows["train"])
    pad_id = tokenization.pad_id(tokenizer, model.config)
    with _errors_at(f"{job.name}: training"):
        with precision.autocast(arguments):
            sequences = _sequences(job, model, rows["train"], pad_id)
            labelled = _labelled(job, model, rows["train"], pad_id)
        new_trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=sharding.Rows(sequences),
            eval_dataset=rows["validation"] or None,
            data_collator=batching.Collator(pad_id, flat=packing.is_flat(model)),
            by_length="train_sampling_strategy" not in options,
            labelled=labelled,
            # adapters are saved in float32, as by PEFT
            save_dtype=None if isinstance(job.method, PeftMethod) else job.base.settings.dtype,
        )
    for printer in (PrinterCallback, ProgressCallback):
        new_trainer.remove_callback(printer)
    limit = options.get("save_total_limit") or 1
    own_callbacks = [
        LogAtCheckpoints(),
        TrainingBar(),
        CompleteCheckpoints(checkpoints, seconds, limit),
    ]
    if allocates_ranks(model):
        own_callbacks.insert(0, AllocateRanks(job.name, model))
    if new_trainer.args.save_strategy == "epoch":
        epochs = paths.epochs(job.checkpoints)
        own_callbacks.append(KeepEpochs(epochs, lambda into: save(new_trainer, into)))
    if job.history is not None:
        own_callbacks.append(LiveHistory(job.history))
    for callback in own_callbacks:
        new_trainer.add_callback(callback)
    return new_trainer


def _model(job: Job) -> PreTrainedModel:
    if not isinstance(job.method, PeftMethod):
        # float32 weights: rounded to the model's dtype in the forward pass and when saved
        return models.load(job.base, job.method, dtype="float32")
    model = models.load(job.base, job.method)
    with _errors_at(f"{job.name}: adapter"):
        model = models.with_adapter(model, job.method, job.settings)
    precision.cast_trainable_to_float32(model)
    return model


@contextmanager
def _errors_at(place: str) -> Iterator[None]:
    """Turn a library's error in the block into a TrainingError that names the setting."""
    try:
        yield
    except (TypeError, ValueError, ImportError, LookupError, RuntimeError) as error:
        if memory.is_exhausted(error):
            raise
        raise TrainingError(f"{place}: {error}") from error


def _check_labels(job: Job, rows: Sequence[batching.Example]) -> None:
    # a row's first token is never predicted
    if not any(label != batching.IGNORED for row in rows for label in row["labels"][1:]):
        raise TrainingError(
            f"{job.name}: no token of the {len(rows)} training rows counts in the loss; give them"
            " completions, or set loss_on: all"
        )


def _sequences(
    job: Job, model: PreTrainedModel, rows: list[batching.Example], pad_id: int
) -> list[batching.Example]:
    """The training sequences: rows, or rows packed or concatenated as `packing` says."""
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


def _concatenated_length(job: Job, model: PreTrainedModel, length: int) -> int:
    """`length`, or the context length without virtual tokens if that is shorter."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None or length + virtual_tokens(model) <= context:
        return length
    room = int(context) - virtual_tokens(model)
    log.warning("%s: packing_length: the context holds %d tokens, not %d", job.name, room, length)
    return room


def _labelled(
    job: Job, model: PreTrainedModel, rows: Sequence[batching.Example], pad_id: int
) -> logits.LabelledLogits | None:
    """A loss without prompt tokens' logits, tried on the shortest and the median row."""
    if job.settings.get("label_smoothing_factor"):
        return None  # only the library's own loss supports it
    if models.sharded():
        return None  # the head's weights are gathered only in the model's forward
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    batch = batching.Collator(pad_id)([ordered[0], ordered[len(ordered) // 2]])
    del batch["row_lengths"]
    labelled_logits = logits.labelled(
        model, {name: tensor.to(model.device) for name, tensor in batch.items()}
    )
    if labelled_logits is None:
        log.warning(
            "%s: logits of prompts are computed too: this model's loss needs them", job.name
        )
    return labelled_logits


def save(trainer: Trainer, target: AbstractContextManager[Path]) -> None:
    """Save the model from the first process, which gathers the shards of the others."""
    sharded, dtype = trainer.is_fsdp_enabled, trainer.save_dtype
    weights = trainer.accelerator.get_state_dict(trainer.model) if sharded else None
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        if dtype not in (None, "float32"):
            weights = precision.rounded(model, weights or model.state_dict(), dtype)
        # PEFT would otherwise ask the Hub whether the vocabulary was resized; it never is
        options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        with target as folder:
            model.save_pretrained(folder, state_dict=weights, **options)
            if dtype not in (None, model.config.dtype):  # the config still says float32
                model.config.dtype = dtype
                model.config.save_pretrained(folder)
            _sort_sets(folder, getattr(model, "peft_config", {}))


def _sort_sets(folder: Path, adapters: Mapping[str, PeftConfig]) -> None:
    """Sort what PEFT writes as it stands in a set: its order differs from process to process."""
    for adapter in adapters.values():
        path = folder / "adapter_config.json"
        settings = results.read(path)
        sets = [name for name, value in vars(adapter).items() if isinstance(value, set)]
        results.write(path, settings | {name: sorted(settings[name]) for name in sets})
