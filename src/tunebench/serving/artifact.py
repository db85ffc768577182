"""The folder that a server loads, written for one load test and removed after it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench import models
from tunebench.answering import generation, merging
from tunebench.config.inference import Server
from tunebench.config.options import Options
from tunebench.config.schema import PeftMethod
from tunebench.models import built_in, deployment
from tunebench.serving.servers import Artifact

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig

GENERATION = "generation_config.json"
WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth")


@contextmanager
def prepared(
    base: models.Base,
    method: models.Method,
    server: Server,
    options: Options,
    *,
    trained: Path | None,
    tail: str,
    folder: Path,
) -> Iterator[Artifact | None]:
    """The artifact in `folder`, removed after the block; None if the adapter cannot be merged.

    generation_config.json is written anew, so that the server stops generating where an evaluation
    does.

    Args:
        options: GenerationConfig fields.
        tail: what the template writes after an answer.
    """
    shutil.rmtree(folder, ignore_errors=True)  # left over from a killed run
    folder.mkdir(parents=True)
    try:
        yield _prepare(base, method, server, options, trained=trained, tail=tail, folder=folder)
    finally:
        shutil.rmtree(folder)


def _prepare(
    base: models.Base,
    method: models.Method,
    server: Server,
    options: Options,
    *,
    trained: Path | None,
    tail: str,
    folder: Path,
) -> Artifact | None:
    if server.url is not None:
        return Artifact("external", folder, base.settings.dtype)
    adapter = trained.resolve() if trained and merging.has_adapter(trained) else None
    beside = server.adapter_arguments is not None and _served_as_adapter(method)
    if adapter is None or beside:
        kind = "adapter" if adapter else "whole" if trained else "base"
        if kind == "whole":
            _link_files(trained, folder)
        _link_files(base.folder, folder, weights=kind != "whole")
    else:
        merged = merging.merge(base, method, trained)
        if merged is None:
            return None
        kind = "merged"
        merged.save_pretrained(folder)
        _link_files(base.folder, folder, weights=False)
    config = built_in.config(folder)
    generation_config = own_generation_config(folder, config)
    (folder / GENERATION).unlink(missing_ok=True)  # a link: the base's own would be overwritten
    tokenizer = models.load_tokenizer(base)
    generation.build_config(
        generation_config, config, tokenizer, options, tail=tail
    ).save_pretrained(folder)
    return Artifact(kind, folder, base.settings.dtype, adapter if kind == "adapter" else None)


def _served_as_adapter(method: models.Method) -> bool:
    """Whether a server that loads adapters beside the base model can load this one."""
    return isinstance(method, PeftMethod) and not deployment.vllm_fault(method.adapter)


def _link_files(source: Path | None, folder: Path, *, weights: bool = True) -> None:
    """Link a model's files into `folder`, except code and those that it has already."""
    assert source is not None
    for file in source.iterdir():
        linked = weights or not file.name.endswith(WEIGHTS)
        wanted = linked and file.suffix != ".py"
        if file.is_file() and wanted and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file.resolve())


def own_generation_config(folder: Path, config: PretrainedConfig) -> GenerationConfig:
    """The model's own GenerationConfig, as `from_pretrained` finds it."""
    from transformers import GenerationConfig

    if (folder / GENERATION).exists():
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    return GenerationConfig.from_model_config(config)
