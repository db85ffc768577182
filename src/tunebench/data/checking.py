"""Faults that can be found before any work: the stage `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunebench import metrics
from tunebench.config import machine
from tunebench.config.options import Options
from tunebench.config.schema import Model, Params, PeftMethod
from tunebench.data import gguf_header, pins
from tunebench.data.sources import source_of
from tunebench.data.sources.repository import check_name
from tunebench.errors import ParameterError, SourceError, suggest

# fields that `download` depends on; the others concern later stages
SOURCE_FIELDS = (
    "generator", "path", "encoding", "quoting", "hub", "config", "split", "revision", "rows",
    "task", "columns", "label_names", "labels", "drop_empty", "drop_test_duplicates", "licence",
    "test_fraction",
)  # fmt: skip


def check(params: Params) -> dict[str, dict[str, Any]]:
    """Source and fingerprint of each data set and model that is used.

    `forgetting_text` has the source of that text; empty if none is set.

    Raises:
        ParameterError: with a line for every source that is missing or unusable.
    """
    forgetting = params.evaluation.forgetting
    datasets = dict.fromkeys([*params.grid.datasets, *([forgetting.dataset] if forgetting else [])])
    sources: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    checks: list[tuple[str, str, Callable[[Params, str], dict[str, Any]]]] = [
        *(("datasets", name, _dataset) for name in datasets),
        *(("models", name, _model) for name in params.grid.models),
    ]
    for section, name, describe in checks:
        try:
            sources[name] = describe(params, name)
        except SourceError as error:
            faults.append(f"params.yaml: {section}.{name}.{error}")
    faults += [*_unknown_metrics(params), *_launch_faults(params)]
    faults += [f"params.yaml: {line}" for line in machine.faults(params)]
    if faults:
        raise ParameterError(faults)
    return sources | {
        "forgetting_text": sources[forgetting.dataset] | {"forgetting": forgetting.model_dump()}
        if forgetting
        else {}
    }


def _unknown_metrics(params: Params) -> Iterator[str]:
    """Published metrics that this project does not measure."""
    for index, result in enumerate(params.published.results if params.published else []):
        for name in result.metrics:
            if name not in metrics.QUALITY:
                place = f"params.yaml: published.results[{index}].{name}"
                yield f"{place}: unknown metric; {suggest(name, metrics.QUALITY)}"


def _launch_faults(params: Params) -> Iterator[str]:
    """Missing files that `training.launch` names."""
    sections: dict[str, Options] = {"training": params.training}
    for name in params.grid.datasets:
        sections[f"datasets.{name}.training"] = params.datasets[name].training
    for name in params.grid.tuning:
        sections[f"methods.{name}.training"] = params.tuning_method(name).training
    for place, settings in sections.items():
        config = (settings.get("launch") or {}).get("config")
        if config is not None and not Path(config).is_file():
            candidates = map(str, Path(config).parent.glob("*.yaml"))
            place = f"params.yaml: {place}.launch.config"
            yield f"{place}: {config} is not there; {suggest(config, candidates)}"


def _dataset(params: Params, name: str) -> dict[str, Any]:
    dataset = params.datasets[name]
    source = dataset.model_dump(mode="json", include=set(SOURCE_FIELDS), exclude_defaults=True)
    return {"source": source, "fingerprint": source_of(dataset).fingerprint(dataset)}


def _model(params: Params, name: str) -> dict[str, Any]:
    """A model's source, and the adapters that `fetch_model` tries on it."""
    model = params.models[name]
    methods = {
        method: definition.model_dump(include={"kind", "quantization", "adapter"})
        for method in params.grid.tuning
        if isinstance(definition := params.methods[method], PeftMethod)
    }
    if model.hub is not None:
        check_name(model.hub)
        source = model.model_dump(include={"hub", "revision"}, exclude_none=True) | _dtype(model)
        return {"source": source, "methods": methods}
    path = str(model.path)
    source = {"gguf" if path.endswith(gguf_header.SUFFIX) else "path": path} | _dtype(model)
    return {"source": source, "files": pins.files(path), "methods": methods}


def _dtype(model: Model) -> dict[str, str]:
    """Its dtype where `fetch_model` needs it; else only loading does."""
    needed = model.dtype == "auto" or str(model.path).endswith(gguf_header.SUFFIX)
    return {"dtype": model.dtype} if needed else {}
