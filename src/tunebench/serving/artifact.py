"""The folder that a server loads, made for one run and removed after it."""

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
from tunebench.models import deployment
from tunebench.serving.servers import Artifact

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig

GENERATION = "generation_config.json"
WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth")


@contextmanager
def made(
    base: models.Base,
    method: models.Method,
    server: Server,
    options: Options,
    *,
    trained: Path | None,
    tail: str,
    folder: Path,
) -> Iterator[Artifact | None]:
    """What a server loads, in `folder`, removed with the block; None where there is no merging.

    Its generation_config.json is this project's own, so that a server ends a text where an
    evaluation does.

    Args:
        options: GenerationConfig fields.
        tail: what the template writes behind an answer.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    folder.mkdir(parents=True)
    try:
        yield _make(base, method, server, options, trained=trained, tail=tail, folder=folder)
    finally:
        shutil.rmtree(folder)


def _make(
    base: models.Base,
    method: models.Method,
    server: Server,
    options: Options,
    *,
    trained: Path | None,
    tail: str,
    folder: Path,
) -> Artifact | None:
    from transformers import AutoConfig

    if server.url is not None:
        return Artifact("external", folder, base.settings.dtype)
    adapter = trained.resolve() if trained and merging.has_adapter(trained) else None
    beside = server.adapter_arguments is not None and _taken_as_it_is(method)
    if adapter is None or beside:
        kind = "adapter" if adapter else "whole" if trained else "base"
        if kind == "whole":
            _show(trained, folder)
        _show(base.folder, folder, weights=kind != "whole")
    else:
        merged = merging.merge(base, method, trained)
        if merged is None:
            return None
        kind = "merged"
        merged.save_pretrained(folder)
        _show(base.folder, folder, weights=False)
    config = AutoConfig.from_pretrained(folder)
    own = _own(folder, config)
    (folder / GENERATION).unlink(missing_ok=True)  # or it would be written into the base's
    tokenizer = models.load_tokenizer(base)
    generation.settled(own, config, tokenizer, options, tail=tail).save_pretrained(folder)
    return Artifact(kind, folder, base.settings.dtype, adapter if kind == "adapter" else None)


def _taken_as_it_is(method: models.Method) -> bool:
    """Whether a server that takes adapters beside the base takes this one."""
    return isinstance(method, PeftMethod) and not deployment.vllm_fault(method.adapter)


def _show(source: Path | None, folder: Path, *, weights: bool = True) -> None:
    """Link the files of a model's folder that are not in this one already."""
    assert source is not None
    for path in source.iterdir():
        shown = weights or not path.name.endswith(WEIGHTS)
        if path.is_file() and shown and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())


def _own(folder: Path, config: PretrainedConfig) -> GenerationConfig:
    """The model's own settings, as `from_pretrained` finds them."""
    from transformers import GenerationConfig

    if (folder / GENERATION).exists():
        return GenerationConfig.from_pretrained(folder)
    return GenerationConfig.from_model_config(config)
