"""What a server is given: a folder with a whole model, or an untouched one and an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tunebench import generation, merging, models
from tunebench.config.options import Options
from tunebench.config.serving import Server
from tunebench.prompts import Prompt

if TYPE_CHECKING:
    from transformers import GenerationConfig

OWN = "generation_config.json"


@dataclass(frozen=True)
class Artifact:
    """`kind` is `base`, `whole` (all weights tuned), `merged`, or `adapter` beside the base."""

    kind: str
    model: Path
    adapter: Path | None = None


@contextmanager
def made(
    base: models.Base,
    method: models.Method,
    server: Server,
    *,
    trained: Path | None,
    prompt: Prompt,
    options: Options,
) -> Iterator[Artifact | None]:
    """The folder that a server loads, removed with the block; None where it cannot load any.

    Its generation_config.json holds this project's own: greedy text unless `options` say otherwise,
    which ends where the model, the tokenizer or the template's `prompt.tail` ends a turn.

    Args:
        options: GenerationConfig fields.
    """
    adapter = trained if trained and (trained / "adapter_config.json").exists() else None
    with TemporaryDirectory(prefix="tunebench-serving-") as name:
        folder = Path(name)
        tokenizer = models.load_tokenizer(base)
        if adapter is None or server.adapter_arguments is not None:
            whole = trained if trained and adapter is None else base.folder
            _link(base.folder, folder)
            _link(whole, folder)
            config = _config(folder)
            kind = "adapter" if adapter else "whole" if trained else "base"
        else:
            merged = merging.merge(base, method, trained)
            if merged is None:
                yield None
                return
            merged.save_pretrained(folder)
            _link(base.folder, folder)
            config, kind = merged.generation_config, "merged"
            del merged
        generation.settle(config, tokenizer, options, tail=prompt.tail).save_pretrained(folder)
        yield Artifact(kind, folder, adapter if kind == "adapter" else None)


def _link(source: Path, folder: Path) -> None:
    """Show another folder's files in this one, but for those of the same name."""
