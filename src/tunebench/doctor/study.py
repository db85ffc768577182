"""params.yaml: valid or not, and which of its models fit in memory by which method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench import paths
from tunebench.doctor import gpus, hardware
from tunebench.doctor.findings import Finding, fault, ok, size, warning

if TYPE_CHECKING:
    from tunebench.config.schema import Model, Params
    from tunebench.estimates.loaded import LoadedModel
    from tunebench.estimates.sizes import Size

SHOWN = 5  # faults of params.yaml; `stages.check` shows all


def parameters() -> Iterator[Finding]:
    """Whether params.yaml is valid, asks for what this machine has, and fits its memory."""
    from tunebench import config
    from tunebench.config import machine
    from tunebench.errors import ParameterError

    if not paths.PARAMS.exists():
        yield fault(
            "study",
            "params.yaml",
            f"is not in {Path.cwd()}",
            remedy="cd <your clone of tunebench>; or: git checkout -- params.yaml",
        )
        return
    try:
        params = config.load()
    except ParameterError as error:
        yield from _faults(error.faults)
        return
    if lacking := list(machine.faults(params)):
        yield from _faults([f"params.yaml: {line}" for line in lacking])
    else:
        grid = params.grid
        counts = (
            (len(grid.models), "model"), (len(grid.datasets), "data set"),
            (len(grid.prompting) + len(grid.tuning) + len(grid.baselines), "method"),
        )  # fmt: skip
        named = ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counts)
        yield ok("study", "params.yaml", f"valid: {params.study}: {named}", study=params.study)
    for name in params.grid.models:
        yield _fit(params, name)


def _faults(lines: list[str]) -> Iterator[Finding]:
    for line in lines[:SHOWN]:
        text = line.removeprefix(f"{paths.PARAMS}: ")
        yield fault("study", "params.yaml", text, remedy="edit params.yaml there")
    if len(lines) > SHOWN:
        more = f"{len(lines) - SHOWN} more faults"
        yield fault("study", "params.yaml", more, remedy="python -m stages.check")


def _fit(params: Params, name: str) -> Finding:
    """Whether one model fits, by each method of the grid."""
    from tunebench.estimates import memory
    from tunebench.estimates.loaded import LoadedModel

    model = params.models[name]
    known = _size(model)
    if known is None:
        return warning(
            "study",
            name,
            "its size is not known before it is fetched",
            remedy=f"dvc repro fetch_model@{name}",
        )
    available, place = _available()
    models = {
        method: LoadedModel.of(known, model, params.methods[method]) for method in _methods(params)
    }
    needs = {method: memory.least(model) for method, model in models.items()}
    count, by = known.parameters, "" if known.known_by == "files" else f" by its {known.known_by}"
    listed = ", ".join(f"{method} {size(need)}" for method, need in needs.items())
    values = {"parameters": count, "available_bytes": available, "least_bytes": needs}
    text = f"{_count(count)} parameters{by}, {model.dtype}"
    text += f"; at least {listed}" if listed else ""
    too_large = [method for method, need in needs.items() if available and need > available]
    if not too_large:
        fits = f"; fits in {size(available)} of {place}" if available else ""
        return ok("study", name, text + fits, **values)
    none = len(too_large) == len(needs)
    return (fault if none else warning)(
        "study",
        name,
        f"{text}; {', '.join(too_large)} cannot fit in {size(available)} of {place}",
        remedy=_smaller(too_large[0], models[too_large[0]], available),
        **values,
    )


def _methods(params: Params) -> list[str]:
    """Methods of the grid that differ in memory; prompting ones are alike, and so the first is
    shown.
    """
    return [*params.grid.prompting[:1], *params.grid.tuning]


def _smaller(method: str, model: LoadedModel, available: int) -> str:
    """The smallest change with which a method may fit."""
    from tunebench.estimates import memory

    if model.trains == "all":
        return f"take {method} out of grid.tuning, for a method with an adapter"
    narrow = replace(model, dtype="bfloat16")
    if model.dtype == "float32" and memory.least(narrow) < available:
        return "in params.yaml, write dtype: bfloat16 for this model"
    quantized = replace(narrow, quantization="nf4")
    if model.trains == "adapter" and memory.least(quantized) < available:
        return f"in params.yaml, write quantization: nf4 under methods.{method}"
    return "name a smaller model under grid.models, or use a larger machine"


def _available() -> tuple[int, str]:
    """Memory in bytes that a model may use, and where: all of the largest GPU, or of the machine.

    Not what is free now: other programs may have ended when a run starts.
    """
    from tunebench.config.machine import has_gpu

    if has_gpu() and gpus.torch_cuda():
        try:
            found = gpus.query_gpus()
        except Exception:  # said under `machine`
            found = []
        if found:
            return max(gpu.total_bytes for gpu in found), "GPU memory"
    return hardware.memory()[0], "memory"


def _size(model: Model) -> Size | None:
    """How large a model is; None where nothing tells."""
    from tunebench.errors import SourceError
    from tunebench.estimates import sizes

    try:
        return sizes.of(model)
    except SourceError:  # damaged: `check` says how
        return None


def _count(parameters: int) -> str:
    for unit, factor in (("B", 1e9), ("M", 1e6)):
        if parameters >= factor:
            return f"{parameters / factor:.3g} {unit}"
    return f"{parameters:,}"
