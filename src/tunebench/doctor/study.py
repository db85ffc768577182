"""params.yaml: valid or not, and which of its models fit in memory by which method."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import paths
from tunebench.doctor import gpus, hardware
from tunebench.doctor.findings import Finding, fault, ok, size, warning
from tunebench.doctor.memory import DTYPE_BYTES, least_bytes

if TYPE_CHECKING:
    from tunebench.config.schema import Model, Params

TRAINS = {"prompting": "nothing", "peft": "adapter", "full": "all"}
SHOWN = 5  # faults of params.yaml; `stages.check` shows all
IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)


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
            (len(grid.prompting) + len(grid.tuning), "method"),
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
    model = params.models[name]
    count, by = parameter_count(name, model)
    if not count:
        return warning(
            "study",
            name,
            "its size is not known before it is fetched",
            remedy=f"dvc repro fetch_model@{name}",
        )
    available, place = _available()
    needs = {method: _needed(params, model, method, count) for method in _methods(params)}
    listed = ", ".join(f"{method} {size(need)}" for method, need in needs.items())
    values = {"parameters": count, "available_bytes": available, "least_bytes": needs}
    text = f"{_count(count)} parameters{by}, {model.dtype}; at least {listed}"
    too_large = [method for method, need in needs.items() if available and need > available]
    if not too_large:
        fits = f"; fits in {size(available)} of {place}" if available else ""
        return ok("study", name, text + fits, **values)
    none = len(too_large) == len(needs)
    return (fault if none else warning)(
        "study",
        name,
        f"{text}; {', '.join(too_large)} cannot fit in {size(available)} of {place}",
        remedy=_smaller(params, model, too_large[0], count, available),
        **values,
    )


def _methods(params: Params) -> list[str]:
    """Methods of the grid that differ in memory; prompting ones are alike, and so the first is
    shown.
    """
    return [*params.grid.prompting[:1], *params.grid.tuning]


def _needed(params: Params, model: Model, method: str, count: int) -> int:
    definition = params.methods[method]
    quantization = getattr(definition, "quantization", None) or ""
    if isinstance(quantization, dict):
        quantization = "nf4" if quantization.get("load_in_4bit") else "int8"
    trains = TRAINS[definition.kind]
    return least_bytes(count, model.dtype, quantization=quantization, trains=trains)


def _smaller(params: Params, model: Model, name: str, count: int, available: int) -> str:
    """The smallest change with which a method may fit."""
    kind = params.methods[name].kind
    if kind == "full":
        return f"take {name} out of grid.tuning, for a method with an adapter"
    if model.dtype == "float32" and least_bytes(count, "bfloat16", trains=TRAINS[kind]) < available:
        return "in params.yaml, write dtype: bfloat16 for this model"
    quantized = least_bytes(count, "bfloat16", quantization="nf4", trains="adapter")
    if kind == "peft" and quantized < available:
        return f"in params.yaml, write quantization: nf4 under methods.{name}"
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


def parameter_count(name: str, model: Model) -> tuple[int, str]:
    """How many parameters a model has, and how that is known; 0 where it is not.

    By its pin, by a local folder's weights, by the weights in the Hub's cache, else by its name.
    """
    pin = paths.pin(name)
    if pin.exists():
        written = json.loads(pin.read_text(encoding="utf-8"))
        if written.get("source", {}).get("hub") == model.hub:
            return int(written.get("parameters") or 0), ""
    folder = Path(model.path) if model.path else _cached(str(model.hub))
    if folder is not None and folder.is_dir() and (counted := _counted(folder, model)):
        return counted, ""
    if found := IN_NAME.search(Path(model.path or model.hub or "").name):
        factor = {"b": 1e9, "m": 1e6}[found[2].lower()]
        return int(float(found[1]) * factor), " by its name"
    return 0, ""


def _counted(folder: Path, model: Model) -> int:
    from tunebench.data import model_files
    from tunebench.errors import SourceError

    weights = sorted(folder.glob("*.safetensors"))
    try:
        return model_files.parameters(weights)
    except SourceError:  # cut or damaged: `check` says how
        return int(sum(file.stat().st_size for file in weights) / DTYPE_BYTES.get(model.dtype, 4.0))


def _cached(repository: str) -> Path | None:
    """The folder of a Hub model's files in the cache, if its configuration was downloaded."""
    from huggingface_hub import try_to_load_from_cache

    found: Any = try_to_load_from_cache(repository, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _count(parameters: int) -> str:
    for unit, factor in (("B", 1e9), ("M", 1e6)):
        if parameters >= factor:
            return f"{parameters / factor:.3g} {unit}"
    return f"{parameters:,}"
