"""One optimizer step's rows, divided among processes and accumulation steps."""

from __future__ import annotations

from math import gcd

from tunebench.config.options import Options
from tunebench.errors import TrainingError

DEFAULT = 8  # TrainingArguments' own per_device_train_batch_size


def share(arguments: Options, processes: int) -> Options:
    """TrainingArguments of each of several processes, which together do what one would have done.

    An optimizer step sees `per_device_train_batch_size` × `gradient_accumulation_steps` rows,
    however many processes there are: accumulation is divided among them as far as it can be, then
    the batch.

    >>> share({"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}, 4)
    {'per_device_train_batch_size': 4, 'gradient_accumulation_steps': 1}

    Raises:
        TrainingError: if neither can be divided, with the batch sizes that can.
    """
    if processes == 1:
        return arguments
    batch = arguments.get("per_device_train_batch_size", DEFAULT)
    steps = arguments.get("gradient_accumulation_steps", 1)
    by_steps = gcd(steps, processes)
    left = processes // by_steps
    if batch % left:
        near = sorted({max(left, batch - batch % left), batch - batch % left + left})
        raise TrainingError(
            f"per_device_train_batch_size {batch} × gradient_accumulation_steps {steps} cannot be"
            f" shared by launch.num_processes {processes}; choose per_device_train_batch_size"
            f" {' or '.join(map(str, near))}, or gradient_accumulation_steps {processes}"
        )
    return arguments | {
        "per_device_train_batch_size": batch // left,
        "gradient_accumulation_steps": steps // by_steps,
    }
