"""Settings that are valid alone but not together, once all levels of a run are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from tunebench.config import generation_options, trainer_fields
from tunebench.config.options import merge
from tunebench.config.schema import Params
from tunebench.errors import suggest

# a place in the file and the settings there; later levels win
Level = tuple[str, Mapping[str, Any]]

DEFAULT_SCHEDULE = "linear"


def faults(params: Params) -> Iterator[str]:
    """A line for each setting that has no effect, or fails, in combination with a run's others."""
    for name in params.grid.datasets:
        levels = [
            ("evaluation.generation", params.evaluation.generation),
            (f"datasets.{name}.generation", params.datasets[name].generation),
        ]
        for key, fault in generation_options.combined(_merged(levels)):
            yield f"{_place(levels, key)}.{key}: {fault}"
    for name, method_name in product(params.grid.datasets, params.grid.tuning):
        method = params.tuning_method(method_name)
        levels = [
            ("training", params.training),
            (f"datasets.{name}.training", params.datasets[name].training),
            (f"methods.{method_name}.training", method.training),
        ]
        settings = _merged(levels)
        configured = settings.get("lr_scheduler_type", DEFAULT_SCHEDULE)
        for schedule in method.search.get("lr_scheduler_type", [configured]):
            place = _place(levels, "lr_scheduler_kwargs")
            schedule_options = settings.get("lr_scheduler_kwargs")
            for fault in _schedule_faults(
                schedule, schedule_options if isinstance(schedule_options, dict) else {}
            ):
                yield f"{place}.lr_scheduler_kwargs{fault}"


def _merged(levels: Sequence[Level]) -> dict[str, Any]:
    return merge(*(settings for _, settings in levels))


def _place(levels: Sequence[Level], key: str) -> str:
    """The level that sets a key, or the most specific one if none does."""
    return next((place for place, settings in reversed(levels) if key in settings), levels[-1][0])


def _schedule_faults(schedule: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Faults in keyword arguments of a schedule, which the Trainer would find at training time."""
    fields = trainer_fields.schedule(schedule)
    for key in options:
        if key not in fields and not fields:
            yield f".{key}: lr_scheduler_type {schedule} takes none; set lr_scheduler_kwargs: null"
        elif key not in fields:
            yield f".{key}: is none of lr_scheduler_type {schedule}; {suggest(key, fields)}"
    for key in trainer_fields.required_by_schedule(schedule):
        if key not in options:
            yield f": {key} is missing, which lr_scheduler_type {schedule} needs"
    floors = ("min_lr", "min_lr_rate")
    if set(floors) <= set(fields) and sum(options.get(key) is not None for key in floors) != 1:
        yield f": lr_scheduler_type {schedule} needs one of min_lr and min_lr_rate"
