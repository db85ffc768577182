"""Settings that are right each by itself and not together, once all levels of a run are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from tunebench.config import generation_options, trainer_fields
from tunebench.config.options import merge
from tunebench.config.schema import Params
from tunebench.errors import suggest

# a place in the file and the settings there; later ones win
Level = tuple[str, Mapping[str, Any]]

DEFAULT_SCHEDULE = "linear"


def faults(params: Params) -> Iterator[str]:
    """A line for each setting that does nothing, or ends the run, beside the others of one run."""
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
        own = settings.get("lr_scheduler_type", DEFAULT_SCHEDULE)
        for schedule in method.search.get("lr_scheduler_type", [own]):
            place = _place(levels, "lr_scheduler_kwargs")
            given = settings.get("lr_scheduler_kwargs")
            for fault in _schedule_faults(schedule, given if isinstance(given, dict) else {}):
                yield f"{place}.lr_scheduler_kwargs{fault}"


def _merged(levels: Sequence[Level]) -> dict[str, Any]:
    return merge(*(settings for _, settings in levels))


def _place(levels: Sequence[Level], key: str) -> str:
    """Where a key was given last, or would be given to hold for this run alone."""
    return next((place for place, settings in reversed(levels) if key in settings), levels[-1][0])


def _schedule_faults(schedule: str, given: Mapping[str, Any]) -> Iterator[str]:
    """The Trainer hands these to the schedule's function, when training begins."""
    known = trainer_fields.schedule(schedule)
    for key in given:
        if key not in known and not known:
            yield f".{key}: lr_scheduler_type {schedule} takes none; set lr_scheduler_kwargs: null"
        elif key not in known:
            yield f".{key}: is none of lr_scheduler_type {schedule}; {suggest(key, known)}"
    for key in trainer_fields.required_by_schedule(schedule):
        if key not in given:
            yield f": {key} is missing, which lr_scheduler_type {schedule} needs"
    ends = ("min_lr", "min_lr_rate")
    if set(ends) <= set(known) and sum(given.get(key) is not None for key in ends) != 1:
        yield f": lr_scheduler_type {schedule} needs one of min_lr and min_lr_rate"
