"""Seconds of training and of answering, from the operations of model and batch.

Constants were measured on two cores that multiply float32 matrices at 140 GFLOP/s; those of work
that grows with tokens are scaled by what this device reaches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.work import Answering, Training

MEASURED_FLOPS = 140e9
# of the device's peak: training in batches; scoring, whose masks take the slower attention
TRAINING_SHARE, ANSWERING_SHARE = 0.75, 0.6
MEMORY_BYTES_PER_S = 5e9  # of weights that each pass reads
CACHE_BYTES_PER_S = 4e9  # of keys and values, copied as they grow
FAULT_S_PER_BYTE = 1.5e-9  # of memory that is touched for the first time
# of Python and small operations: a layer forwards, a layer in training, an optimizer's step, a
# module with an adapter in either, a 4-bit module in each pass
LAYER_S, TRAINED_LAYER_S, UPDATE_S = 0.9e-3, 5e-3, 20e-3
ADAPTER_S, TRAINED_ADAPTER_S, UNPACKED_S = 0.25e-3, 0.4e-3, 0.3e-3
# of each number in or out of a module with an adapter
ADAPTER_NUMBER_S, TRAINED_NUMBER_S, DROPOUT_NUMBER_S = 4e-9, 6e-9, 13e-9
LINEAR_MODULES = 7  # of a layer, which are quantized
UPDATED_BYTES_PER_S = 5e9
MOMENTS_READ = 40  # bytes of each trained weight that an update reads and writes
LABEL_PASSES = 2  # the prompt's, and that of its labels
TRIED_ROWS = 2  # on which the loss is tried before training, and passes for that
TRIED_PASSES = 4


@dataclass(frozen=True)
class Speed:
    """What a device reaches: `flops` of products of large matrices, in a second."""

    flops: float

    @property
    def scale(self) -> float:
        """How many times longer it takes than the machine of the constants."""
        return MEASURED_FLOPS / self.flops


def of_training(model: LoadedModel, work: Training, speed: Speed, touched: float) -> float:
    """Seconds of loading and training, without the process's own.

    Args:
        touched: bytes that are touched for the first time.
    """
    size = model.size
    per_token = 4.0 * size.body + (2.0 * size.body if model.trains == "all" else 0.0)
    attention = 12.0 * size.query_width * size.layers * _mean_length(work)
    labelled = 4.0 * size.vocabulary * size.hidden * work.labelled / max(1.0, _mean_length(work))
    if work.checkpointing:
        per_token, attention = per_token + 2.0 * size.body, attention * 4 / 3
    operations = work.tokens * (per_token + attention + labelled)
    inputs = size.layers * sum(inputs for inputs, _ in model.adapted)
    outputs = size.layers * sum(outputs for _, outputs in model.adapted)
    numbers = (inputs + outputs) * TRAINED_NUMBER_S + inputs * DROPOUT_NUMBER_S * model.dropout
    passes = work.steps * (1.5 if work.checkpointing else 1.0)
    overhead = passes * (size.layers * TRAINED_LAYER_S + model.modules * TRAINED_ADAPTER_S)
    unpacked = 2 * passes * size.layers * LINEAR_MODULES * UNPACKED_S
    update = UPDATE_S + model.trainable * MOMENTS_READ / UPDATED_BYTES_PER_S * speed.scale
    return (
        operations / (TRAINING_SHARE * speed.flops)
        + work.tokens * numbers * speed.scale
        + overhead
        + (unpacked if model.quantization else 0.0)
        + work.updates * update
        + touched * FAULT_S_PER_BYTE * speed.scale
        + _tried(model, work, speed)
    )


def _mean_length(work: Training) -> float:
    return work.tokens / max(1.0, work.steps * work.rows)


def _tried(model: LoadedModel, work: Training, speed: Speed) -> float:
    """Seconds of loading, and of trying the loss without prompts' logits on two rows."""
    size = model.size
    tokens = TRIED_ROWS * TRIED_PASSES * _mean_length(work)
    operations = 2.0 * (size.body + size.vocabulary * size.hidden) * tokens
    return 0.7 + operations / (ANSWERING_SHARE * speed.flops)


def _passed(model: LoadedModel, tokens: float, length: float, passes: float, speed: Speed) -> float:
    """Seconds of forward passes over prompts."""
    size = model.size
    operations = tokens * (2.0 * size.body + 4.0 * size.query_width * size.layers * length)
    numbers = size.layers * sum(map(sum, model.adapted)) * ADAPTER_NUMBER_S
    return (
        operations / (ANSWERING_SHARE * speed.flops)
        + tokens * numbers * speed.scale
        + passes * _overhead(model)
    )


def _overhead(model: LoadedModel) -> float:
    """Seconds of one pass that do not grow with its tokens."""
    layers = model.size.layers
    unpacked = layers * LINEAR_MODULES * UNPACKED_S if model.quantization else 0.0
    return layers * LAYER_S + model.modules * ADAPTER_S + unpacked


def _written(model: LoadedModel, steps: float, rows: float, length: float, speed: Speed) -> float:
    """Seconds of so many steps that each write a token of so many rows."""
    size = model.size
    cache = 2.0 * size.kv_width * size.layers * rows * length * model.width
    memory = model.weight_bytes / MEMORY_BYTES_PER_S + 2 * cache / CACHE_BYTES_PER_S
    operations = 2.0 * rows * (size.body + size.vocabulary * size.hidden)
    computed = operations / (ANSWERING_SHARE * speed.flops)
    return steps * (_overhead(model) + max(memory * speed.scale, computed))


def of_answering(model: LoadedModel, work: Answering, speed: Speed, room: int) -> float:
    """Seconds of answering a file of prompts.

    Args:
        room: tokens of a batch, as `evaluate` chooses them on the device.
    """
    typical = (work.prompt + work.longest) / 2 + work.limit
    rows = max(1, min(work.rows, int(room // typical)))
    batches = work.draws * math.ceil(work.rows / rows)
    passes = batches * (LABEL_PASSES if work.labels else 1)
    seconds = _passed(model, work.read_tokens, work.prompt, passes, speed)
    if work.limit:
        steps = batches * min(work.limit, 1.5 * work.written)
        seconds += _written(model, steps, rows, work.prompt + work.written, speed)
    return seconds


def of_forgetting(model: LoadedModel, rows: int, tokens: int, speed: Speed) -> float:
    """Seconds of the loss on another domain's text, before and after tuning."""
    size = model.size
    head = 2.0 * size.vocabulary * size.hidden * rows * tokens
    each = [
        _passed(one, rows * tokens, tokens, rows * tokens / 1024, speed)
        + head / (ANSWERING_SHARE * speed.flops)
        for one in (model, model.untouched())
    ]
    return 1.0 + sum(each)


def of_requests(
    model: LoadedModel, work: Answering, rows: int, requests: float, speed: Speed
) -> float:
    """Seconds of so many requests, each of a batch of prompts without a shared prefix."""
    tokens = rows * (work.prompt + work.labels)
    once = _passed(model, tokens, work.prompt, LABEL_PASSES if work.labels else 1, speed)
    if work.limit:
        once += _written(model, work.written, rows, work.prompt, speed)
    return requests * once
