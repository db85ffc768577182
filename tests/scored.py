"""What the stages leave of runs that are right on chosen test rows."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from tunebench import paths, results
from tunebench.metrics import statistics
from tunebench.paths import Run

TRAINED = {"trainable_parameters": 8, "adapter_bytes": 32}


def write(
    run: Run,
    right: Sequence[bool],
    *,
    rows: int = 0,
    train_s: float = 0.0,
    rate: float = 100.0,
    labels: str = "ab",
    **metrics: Any,
) -> None:
    """Predictions, metrics, training and timing of one run.

    Args:
        right: for each test row, whether the answer is.
        rows: of training.
        labels: a letter each, which the test rows have in turn.
        metrics: further ones of the evaluation.
    """
    results.write_lines(
        paths.predictions(run),
        [
            {"id": f"test-{index}", "gold": gold, "answer": gold if each else f"not {gold}"}
            for index, (gold, each) in enumerate(zip(cycle(labels), right, strict=False))
        ],
    )
    low, high = statistics.of_proportion(sum(right), len(right))
    accuracy = {"accuracy": sum(right) / len(right), "accuracy_low": low, "accuracy_high": high}
    results.write(paths.evaluation(run), {**accuracy, "rows": len(right), **metrics})
    time(run, rows=rows, train_s=train_s, rate=rate)


def fail(run: Run, *, rows: int = 0) -> None:
    """A run that ran out of memory."""
    failed = {"out_of_memory": True, "peak_memory_bytes": 10**9}
    results.write_lines(paths.predictions(run), [])
    results.write(paths.evaluation(run), failed)
    time(run, rows=rows, train_s=1.0, rate=100.0)
    results.write(paths.timing(run), failed)


def time(run: Run, *, rows: int, train_s: float, rate: float) -> None:
    results.write(paths.timing(run), {"requests_per_s_batch_1": rate})
    if run.train_size is not None:
        measured = {"rows": rows, "train_s": train_s, "machine_s": train_s}
        results.write(paths.train(run), measured | TRAINED)


def first(right: int, of: int = 100) -> list[bool]:
    """Right on the first rows."""
    return [index < right for index in range(of)]
