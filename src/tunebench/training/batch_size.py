"""The rows of an optimizer step, divided among processes and accumulation steps."""

from __future__ import annotations

from math import gcd

from tunebench.config.options import Options
from tunebench.errors import TrainingError

DEFAULT = 8  # TrainingArguments' own per_device_train_batch_size


def share(arguments: Options, processes: int) -> Options:
    """TrainingArguments of each process, so that together they train as one process would.

    An optimizer step sees `per_device_train_batch_size` × `gradient_accumulation_steps` rows,
    however many processes there are. The accumulation steps are divided among them as far as
    possible, then the batch.

    >>> share({"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}, 4)
    {'per_device_train_batch_size': 4, 'gradient_accumulation_steps': 1}

    Raises:
        TrainingError: if that leaves a remainder, with batch sizes that do not.
    """
    if processes == 1:
        return arguments
    batch = arguments.get("per_device_train_batch_size", DEFAULT)
    steps = arguments.get("gradient_accumulation_steps", 1)
    by_steps = gcd(steps, processes)
    remaining = processes // by_steps
    if batch % remaining:
        alternatives = sorted(
            {max(remaining, batch - batch % remaining), batch - batch % remaining + remaining}
        )
        raise TrainingError(
            f"per_device_train_batch_size {batch} × gradient_accumulation_steps {steps} cannot be"
            f" shared by launch.num_processes {processes}; choose per_device_train_batch_size"
            f" {' or '.join(map(str, alternatives))}, or gradient_accumulation_steps {processes}"
        )
    return arguments | {
        "per_device_train_batch_size": batch // remaining,
        "gradient_accumulation_steps": steps // by_steps,
    }
