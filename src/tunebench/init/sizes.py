"""Test and validation rows, max_length, batch and train sizes, for these rows and this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunebench.config.options import merge
from tunebench.errors import ParameterError
from tunebench.estimates.loaded import LoadedModel
from tunebench.init import methods
from tunebench.init.answers import listed
from tunebench.init.case import Case
from tunebench.init.lengths import Lengths, percentile
from tunebench.paths import parse_size

COVERED = 0.99  # of the rows, by max_length
STEP = 32  # tokens, of which max_length is a multiple
VALIDATION_ROWS = 100
# adapters of a real model; the embedded one learns at ten times that rate
REAL_MODEL, LEARNING_RATE, SMALL_RATE = 50_000_000, 2e-4, 1e-3


def evaluated(case: Case, measured: Lengths) -> dict[str, Any]:
    """`test_rows` if not all are asked, and `validation_rows` if a setting chooses on them."""
    sizes = {}
    available = case.found.rows["test"]
    rows = case.answers.test_rows or case.machine.test_rows(
        available,
        parameters=case.model.parameters,
        tokens=_mean(measured.prompts),
        written=0 if case.found.labels else percentile(measured.answers, COVERED),
    )
    _check("--test-rows", rows, "test", available, case)
    if rows != available:
        sizes["test_rows"] = rows
    validation = case.answers.validation_rows
    if validation is None and case.params.evaluation.select == "best_validation":
        own = case.found.rows.get("validation")
        validation = min(VALIDATION_ROWS, own or max(1, case.found.rows["train"] // 10))
    if validation:
        split = "validation" if "validation" in case.found.rows else "train"
        _check("--validation-rows", validation, split, case.found.rows[split], case)
        sizes["validation_rows"] = validation
    return sizes


def max_length(case: Case, measured: Lengths, with_shots: list[int]) -> int:
    """Tokens that cover most rows, those behind solved examples too, within the context."""
    if case.answers.max_length is not None:
        return case.answers.max_length
    needed = percentile(measured.sequences, COVERED)
    if with_shots:
        needed = max(needed, percentile(with_shots, COVERED))
    rounded = -(-needed // STEP) * STEP
    return min(rounded, case.model.context or rounded)


def training(case: Case, tokens: int) -> dict[str, Any]:
    """The batch that fits this machine, with as many rows in a step as params.yaml has.

    Args:
        tokens: `max_length`.
    """
    settings = case.params.training
    default = int(settings.get("per_device_train_batch_size", 8))
    if case.answers.batch_size is not None:
        batch = case.answers.batch_size
    else:
        batch = case.machine.batch_size(default, models=_subjects(case), tokens=tokens)
    chosen: dict[str, Any] = {}
    if batch != default:
        chosen["per_device_train_batch_size"] = batch
    if batch < default and default % batch == 0:
        steps = int(settings.get("gradient_accumulation_steps", 1))
        chosen["gradient_accumulation_steps"] = steps * default // batch
    rate = settings.get("learning_rate")
    if case.model.parameters > REAL_MODEL and rate is not None and rate > SMALL_RATE:
        chosen["learning_rate"] = LEARNING_RATE
    return chosen


def _subjects(case: Case) -> Iterator[LoadedModel]:
    """The model as each chosen tuning method loads it; none of unknown size."""
    size, model = case.model.size, case.params.models[case.model.name]
    if size is None:
        return
    for name in methods.tuning(case):
        yield LoadedModel.of(size, model, case.params.method(name))


def train_sizes(case: Case, measured: Lengths, entry: Mapping[str, Any]) -> list[int | float]:
    """Nested sizes for a learning curve, the largest as large as rows and machine allow.

    Raises:
        ParameterError: if the option is no list of sizes.
    """
    available = case.found.rows["train"]
    if "validation" not in case.found.rows:
        available -= entry.get("validation_rows", 0)
    if case.answers.train_sizes is not None:
        return _given_sizes(case, case.answers.train_sizes, available)
    settings = merge(case.params.training, entry["training"])
    lengths = [min(length, entry["max_length"]) for length in measured.sequences]
    sizes = case.machine.train_sizes(
        available,
        parameters=case.model.parameters,
        tokens=_mean(lengths),
        epochs=float(settings.get("num_train_epochs", 3)),
        fewest=len(case.found.labels),
    )
    if "train" in case.found.partial and isinstance(sizes[-1], float):
        sizes[-1] = available  # further rows were not looked at
    return sizes


def seeds(case: Case) -> list[int]:
    """The seeds that are given, or else those of the grid.

    Raises:
        ParameterError: if the option is no list of numbers.
    """
    text = case.answers.seeds
    if text is None:
        return list(case.params.grid.seeds) or [0]
    if not all(part.isdecimal() for part in listed(text)):
        raise ParameterError([f"--seeds: {text!r} is no list of numbers; write 0,1,2"])
    return [int(part) for part in listed(text)]


def _given_sizes(case: Case, text: str, available: int) -> list[int | float]:
    try:
        given = [parse_size(part) for part in listed(text)]
    except ValueError:
        raise ParameterError(
            [
                f"--train-sizes: {text!r} is no list of sizes; write numbers of rows, or fractions:"
                " 50,1.0"
            ]
        ) from None
    for size in given:
        _check("--train-sizes", size, "train", available, case)
    return given


def _check(option: str, size: float, split: str, available: int, case: Case) -> None:
    """Refuse more rows than there are, where all were read."""
    if size > available and split not in case.found.partial:
        rows = f"{available} {split.replace('train', 'training')} rows"
        raise ParameterError([f"{option}: {size} is more than the {rows} there are"])


def _mean(numbers: list[int] | Any) -> float:
    return float(sum(numbers) / len(numbers))
