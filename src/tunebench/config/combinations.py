"""Settings that are valid alone but not together, once all levels of a run are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice, product
from typing import Any

from tunebench.config import generation_options, training_combinations
from tunebench.config.options import merge
from tunebench.config.schema import Params

# a place in the file and the settings there; later levels win
Level = tuple[str, Mapping[str, Any]]

MAX_TRIALS = 1000


def faults(params: Params) -> Iterator[str]:
    """A line for each setting that has no effect, or fails, in combination with a run's others."""
    yield from _generation_faults(params)
    for name, method in product(params.grid.datasets, params.grid.tuning):
        yield from _training_faults(params, name, method)
    yield from _row_faults(params)
    yield from _device_faults(params)


def _generation_faults(params: Params) -> Iterator[str]:
    for name in params.grid.datasets:
        levels = [
            ("evaluation.generation", params.evaluation.generation),
            (f"datasets.{name}.generation", params.datasets[name].generation),
        ]
        for key, fault in generation_options.combined(_merged(levels)):
            yield f"{_place(levels, key)}.{key}: {fault}"


def training_levels(params: Params, dataset: str, method: str) -> list[Level]:
    """The levels of a run's training settings, the general ones first."""
    return [
        ("training", params.training),
        (f"datasets.{dataset}.training", params.datasets[dataset].training),
        (f"methods.{method}.training", params.tuning_method(method).training),
    ]


def _training_faults(params: Params, dataset: str, method: str) -> Iterator[str]:
    levels = training_levels(params, dataset, method)
    settings, rows = _merged(levels), params.datasets[dataset].validation_rows
    search = {
        key: values
        for key, values in params.tuning_method(method).search.items()
        if key in training_combinations.READ
    }
    for values in islice(product(*search.values()), MAX_TRIALS):
        trial = dict(zip(search, values, strict=True))
        for place, fault in training_combinations.faults(
            merge(settings, trial), validation_rows=rows
        ):
            key = place.split(".")[0]
            level = f"methods.{method}.search" if key in search else _place(levels, key)
            yield f"{level}.{place}: {fault}"


def _row_faults(params: Params) -> Iterator[str]:
    """More rows than a generator makes; those of files and of the Hub are counted later."""
    for name in params.grid.datasets:
        dataset = params.datasets[name]
        if dataset.rows is None:
            continue
        train, test = dataset.rows["train"], dataset.rows["test"]
        place = f"datasets.{name}"
        if (dataset.test_rows or 0) > test:
            yield f"{place}.test_rows: {dataset.test_rows} is more than rows.test, {test}"
        held_out = dataset.validation_rows
        validation = dataset.rows.get("validation")
        if held_out > (limit := validation or train - 1):
            source = "rows.validation" if validation else "what rows.train leaves"
            yield f"{place}.validation_rows: {held_out} is more than {source}, {limit}"
            continue
        available = train - (0 if validation else held_out)
        trained = params.grid.tuning or params.grid.baselines
        for index, size in enumerate(params.grid.train_sizes if trained else ()):
            rows_asked = size if isinstance(size, int) else int(Decimal(str(size)) * available)
            if not 1 <= rows_asked <= available:
                yield (
                    f"grid.train_sizes[{index}]: {size} is {rows_asked} of the {available} training"
                    f" rows of {name!r}; it must be from 1 to {available}"
                )
        for method in params.grid.prompting:
            shots = params.prompting_method(method).shots
            if shots > train:
                yield f"methods.{method}.shots: {shots} is more than {place}.rows.train, {train}"
    forgetting = params.evaluation.forgetting
    rows_made = params.datasets[forgetting.dataset].rows if forgetting else None
    if forgetting and rows_made and forgetting.rows > rows_made["test"]:
        most = f"datasets.{forgetting.dataset}.rows.test, {rows_made['test']}"
        yield f"evaluation.forgetting.rows: {forgetting.rows} is more than {most}"


def _device_faults(params: Params) -> Iterator[str]:
    """A model that is spread over GPUs of which each process has one."""
    for name in params.grid.models:
        spread = params.models[name].device_map
        for dataset, method in product(params.grid.datasets, params.grid.tuning):
            launch = _merged(training_levels(params, dataset, method)).get("launch") or {}
            alone = launch.get("num_processes", 1) == 1
            if spread and not alone and launch.get("config") is None:
                yield (
                    f"models.{name}.device_map: {spread!r} spreads the model, while launch gives"
                    " each process one GPU; remove it, or use launch/fsdp.yaml"
                )


def _merged(levels: Sequence[Level]) -> dict[str, Any]:
    return merge(*(settings for _, settings in levels))


def _place(levels: Sequence[Level], key: str) -> str:
    """The level that sets a key, or the most specific one if none does."""
    return next((place for place, settings in reversed(levels) if key in settings), levels[-1][0])
