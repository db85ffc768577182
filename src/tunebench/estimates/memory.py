"""Peak memory of training and of answering, in bytes, from the shapes of model and batch.

Without a GPU it is what the operating system counts as resident: the process with its imports, the
files that weights are mapped from, and the holes in malloc's heap. These were measured on two cores
with torch 2.13 and transformers 5.23; the terms of tensors are those of the architecture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tunebench.estimates.loaded import QUANTIZED_BYTES, LoadedModel
from tunebench.estimates.work import Answering, Training
from tunebench.prompts.batching import CPU_BATCH_TOKENS
from tunebench.training.logits import MAX_LOGITS

Kind = Literal["cpu", "cuda"]

# a process after its imports: with PEFT and bitsandbytes, as `train`; without them
TRAINING_PROCESS, TUNED_PROCESS, PLAIN_PROCESS = 584e6, 625e6, 565e6
TIMED_PROCESS, TIMED_TUNED_PROCESS = 476e6, 540e6
SMALL_PROCESS = 180e6  # of a stage without torch
WORKSPACE = 50e6  # of threads and matrix products
# tensors of different sizes leave holes in glibc's heap, more with each module that has an adapter:
# SmolLM2, 4 × 253 tokens, resident over allocated: 1.35 with two modules a layer, 1.8 with seven,
# 2.0 with seven beside 4-bit weights, which are unpacked each time
HOLES, HOLES_PER_MODULE, HOLES_OF_UNPACKING = 1.17, 0.09, 1.12
FULL_HOLES = 1.05
STEPS_UNTIL_FULL = 4  # the holes grow with the first steps
# of the activations that gradient checkpointing frees: the heap keeps so much
KEPT_BY_HEAP = 0.6
OPTIMIZER_BYTES = {
    "sgd": 0.0, "adafactor": 0.1, "adalomo": 0.1, "lomo": 0.0, "lion": 4.0, "rmsprop": 4.0,
    "adagrad": 4.0,
}  # fmt: skip
TWO_MOMENTS, EIGHT_BIT_MOMENTS = 8.0, 2.0  # of Adam, for each trained weight
# widths that a layer keeps for the backward pass: of its hidden size, of its intermediate size
KEPT_HIDDEN, KEPT_INNER = 12, 3
FLOAT32_HIDDEN = 4  # of these, by the norms, in float32 whatever the dtype
DROPPED = 1.25  # the input after dropout, and the mask
LOGITS_COPIES = 3  # logits, their softmax, their gradient


@dataclass(frozen=True)
class Peak:
    """Bytes at the peak, by what they hold."""

    process: float
    weights: float
    optimizer: float
    activations: float
    logits: float
    cache: float = 0.0

    @property
    def total(self) -> int:
        """All of them."""
        parts: list[float] = list(vars(self).values())
        return round(sum(parts))


def of_training(model: LoadedModel, work: Training, kind: Kind) -> Peak:
    """The peak of one training.

    Args:
        kind: of the device.
    """
    full = _activations(model, work.rows * work.longest)
    if work.checkpointing:
        one_layer = full / model.size.layers
        inputs = work.rows * work.longest * model.size.hidden * model.size.layers
        kept = inputs * model.width + one_layer
        activations = kept + (KEPT_BY_HEAP * full if kind == "cpu" else 0.0)
    else:
        activations = full * (_holes(model, work) if kind == "cpu" else 1.0)
    vocabulary = model.size.vocabulary
    labelled = min(work.rows * work.labelled, max(1, MAX_LOGITS // vocabulary))
    return Peak(
        process=TRAINING_PROCESS + WORKSPACE if kind == "cpu" else 0.0,
        weights=_loaded(model, kind),
        optimizer=model.trainable * _of_trained(model, work.optimizer),
        activations=activations,
        logits=labelled * vocabulary * 4.0 * LOGITS_COPIES,
    )


def least(model: LoadedModel, optimizer: str = "adamw_torch") -> int:
    """Bytes of weights, gradients and optimizer; activations, logits and caches come on top."""
    return round(model.weight_bytes + model.trainable * _of_trained(model, optimizer))


def _of_trained(model: LoadedModel, optimizer: str) -> float:
    """Bytes of each trained weight: its gradient, the moments, and an adapter's weight itself."""
    name = optimizer.lower()
    moments = next(
        (size for part, size in OPTIMIZER_BYTES.items() if name.startswith(part)), TWO_MOMENTS
    )
    if "8bit" in name or name.startswith("paged"):
        moments = EIGHT_BIT_MOMENTS
    return 4.0 + moments + (4.0 if model.trains == "adapter" else 0.0)


def _activations(model: LoadedModel, tokens: float) -> float:
    """Bytes that all layers keep for the backward pass, of so many tokens at once."""
    size, width = model.size, model.width
    hidden = KEPT_HIDDEN * size.hidden * width + FLOAT32_HIDDEN * size.hidden * (4.0 - width)
    inner = KEPT_INNER * size.intermediate * width
    if model.trains == "all":  # the inputs of all matrices, for their gradients
        own = (2 * size.hidden + size.intermediate) * width
    elif model.dropout:
        own = DROPPED * sum(inputs for inputs, _ in model.adapted) * width
    else:  # inputs that several modules share
        own = sum({inputs: inputs for inputs, _ in model.adapted}.values()) * width
    return tokens * size.layers * (hidden + inner + own)


def _holes(model: LoadedModel, work: Training) -> float:
    """Resident over allocated bytes of activations, without a GPU."""
    if model.trains == "all":
        return FULL_HOLES
    factor = HOLES + HOLES_PER_MODULE * len(model.adapted)
    if model.quantization:
        factor *= HOLES_OF_UNPACKING
    grown = min(1.0, math.sqrt((work.steps - 1) / (STEPS_UNTIL_FULL - 1)))
    return 1.0 + (factor - 1.0) * grown


def _loaded(model: LoadedModel, kind: Kind) -> float:
    """Bytes of weights, and without a GPU of the file that they are mapped from."""
    if kind == "cuda" or not model.quantization:
        return model.weight_bytes
    size = model.size
    return model.width * size.parameters + QUANTIZED_BYTES[model.quantization] * size.body


def of_answering(model: LoadedModel, work: Answering, kind: Kind) -> Peak:
    """The peak of answering a file of prompts, in batches as `evaluate` makes them."""
    room = CPU_BATCH_TOKENS if kind == "cpu" and not work.limit else work.batch_tokens
    rows = max(1, min(work.rows, int(room // max(1, work.longest + work.limit))))
    process = TUNED_PROCESS if model.trains != "nothing" else PLAIN_PROCESS
    return _asked(model, work, rows, process=process, kind=kind)


def of_timing(model: LoadedModel, work: Answering, batch: int, kind: Kind) -> Peak:
    """The peak of timed requests in batches of one size."""
    process = TIMED_TUNED_PROCESS if model.trains != "nothing" else TIMED_PROCESS
    return _asked(model, work, batch, process=process, kind=kind)


def _asked(model: LoadedModel, work: Answering, rows: int, *, process: float, kind: Kind) -> Peak:
    size = model.size
    tokens = rows * work.longest
    if kind == "cpu":  # where prompts are read a few at a time
        tokens = min(tokens, max(CPU_BATCH_TOKENS, work.longest))
    passed = tokens * (4 * size.hidden + KEPT_INNER * size.intermediate) * model.width
    # without a GPU memory counts when it is written: what is reserved for answers is not
    reserved = work.longest + work.limit
    positions = rows * (work.prompt + work.written if kind == "cpu" else reserved)
    return Peak(
        process=process if kind == "cpu" else 0.0,
        weights=_loaded(model.untouched(), kind),
        optimizer=4.0 * model.trainable if model.trains == "adapter" else 0.0,
        activations=passed,
        logits=rows * max(1, work.labels if work.labels else 1) * size.vocabulary * 4.0,
        cache=2 * size.kv_width * size.layers * positions * model.width,
    )


def of_small_stage() -> Peak:
    """The peak of a stage that loads no model."""
    return Peak(SMALL_PROCESS, 0.0, 0.0, 0.0, 0.0)
