"""What params.yaml asks of this machine, and it lacks: packages and GPUs, known without torch.

Free memory, compute capability and drivers are known to torch only; `train` says them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from tunebench.config.combinations import training_levels
from tunebench.config.schema import Params
from tunebench.config.training_values import trackers


@dataclass(frozen=True)
class Package:
    """A package's module, and how it is installed."""

    module: str
    install: str


FLASH = {
    "flash_attention_2": Package("flash_attn", "pip install flash-attn --no-build-isolation"),
    "flash_attention_3": Package("flash_attn_interface", "pip install flash-attn-3"),
    "flash_attention_4": Package("flash_attn.cute", "pip install flash-attn-4"),
}
# the first word of an `optim`, or all of it
OPTIMIZERS = {
    "adamw_torch_xla": Package("torch_xla", "pip install torch_xla"),
    "adamw_torch_npu_fused": Package("torch_npu", "pip install torch_npu"),
    "adamw_torch_4bit": Package("torchao", "pip install torchao"),
    "adamw_torch_8bit": Package("torchao", "pip install torchao"),
    "adamw_anyprecision": Package("torchdistx", "see https://github.com/pytorch/torchdistx"),
    "stable_adamw": Package("optimi", "pip install torch-optimi"),
    "galore": Package("galore_torch", "pip install galore-torch"),
    "apollo": Package("apollo_torch", "pip install apollo-torch"),
    "lomo": Package("lomo_optim", "pip install lomo-optim"),
    "adalomo": Package("lomo_optim", "pip install lomo-optim"),
    "grokadamw": Package("grokadamw", "pip install grokadamw"),
    "schedule_free": Package("schedulefree", "pip install schedulefree"),
}
# fields of TrainingArguments that need a package
FIELDS = {
    "deepspeed": Package("deepspeed", "pip install deepspeed"),
    "use_liger_kernel": Package("liger_kernel", "pip install liger-kernel"),
}
TRACKERS = {
    "mlflow": Package("mlflow", "pip install mlflow-skinny"),
    "tensorboard": Package("tensorboard", "pip install tensorboard"),
    "wandb": Package("wandb", "pip install wandb"),
}
GPU_ONLY = ("fp16", "fp16_full_eval", "bf16_full_eval", "tf32")
# of NVIDIA, of AMD, and of NVIDIA within WSL
DEVICES = ("nvidia[0-9]*", "kfd", "dxg")


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether this machine shows a GPU that torch calls cuda."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(any(devices.glob(pattern)) for pattern in DEVICES)


def faults(params: Params) -> Iterator[str]:
    """A line for each package and device that the grid needs and this machine lacks."""
    gpu = has_gpu()
    for name in params.grid.models:
        model, place = params.models[name], f"models.{name}"
        if model.device_map and model.device_map.startswith("cuda") and not gpu:
            fault = "needs a GPU, and this machine shows none; remove it"
            yield f"{place}.device_map: {model.device_map!r} {fault}"
        if package := FLASH.get(model.attn_implementation or ""):
            value = f"{place}.attn_implementation: {model.attn_implementation!r}"
            if not _is_installed(package):
                yield f"{value} needs a package: {package.install}, or use sdpa"
            elif not gpu:
                yield f"{value} needs a GPU, and this machine shows none; use sdpa"
    seen = set()
    for dataset, method in product(params.grid.datasets, params.grid.tuning):
        levels = training_levels(params, dataset, method)
        searched = params.tuning_method(method).search
        tried = [
            (f"methods.{method}.search", {key: value})
            for key, values in searched.items()
            for value in values
        ]
        for place, settings in [*levels, *tried]:
            if (place, str(settings)) not in seen:
                seen.add((place, str(settings)))
                yield from training_faults(place, settings, gpu=gpu)


def training_faults(place: str, settings: Mapping[str, Any], *, gpu: bool) -> Iterator[str]:
    """A line for each package and device that training settings need and this machine lacks."""
    optimizer = settings.get("optim", "")
    for start, package in OPTIMIZERS.items():
        if optimizer.startswith(start) and not _is_installed(package):
            yield f"{place}.optim: {optimizer!r} needs a package: {package.install}"
    for key, package in FIELDS.items():
        if settings.get(key) and not _is_installed(package):
            yield f"{place}.{key}: needs a package: {package.install}"
    for name in trackers(settings.get("report_to", "none")):
        if not _is_installed(TRACKERS[name]):
            yield f"{place}.report_to: {name!r} needs a package: {TRACKERS[name].install}"
    for key in GPU_ONLY:
        if settings.get(key) and not gpu:
            yield f"{place}.{key}: needs a GPU, and this machine shows none; remove it"


def _is_installed(package: Package) -> bool:
    top = package.module.split(".")[0]
    # a module within another is looked up by importing that one
    return find_spec(top) is not None and (top == package.module or _has_part(package.module))


def _has_part(module: str) -> bool:
    top, part = module.split(".")
    spec = find_spec(top)
    folders = spec.submodule_search_locations or () if spec else ()
    return any((Path(folder) / part).exists() for folder in folders)
