"""Which files a model's name stands for, and what can be told of it without loading it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.errors import SourceError
from tunebench.sources.fingerprints import digests

CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


def pin(checked: dict[str, Any]) -> dict[str, Any]:
    """All that is known of a model: its source, its revision, its files, what they state.

    Args:
        checked: what the stage `check` found of it.
    """
    hashes = "".join(file["sha256"] for file in checked["files"].values())
    revision = hashlib.sha256(hashes.encode()).hexdigest()
    return checked | {"revision": revision} | describe(checked["source"]["path"])


def files(folder: str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file of a local model that loading it reads.

    Raises:
        SourceError: if the folder holds no model in the Hugging Face layout with safetensors.
    """
    path = Path(folder)
    if not path.is_dir():
        raise SourceError(f"path: {folder} is no folder; name one with config.json and weights")
    if not (path / "config.json").exists():
        raise SourceError(f"path: {folder} holds no config.json, so it is no Hugging Face model")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        old = any(path.glob("*.bin"))
        remedy = (
            "convert its .bin weights, which could run code when read"
            if old
            else "copy the model's *.safetensors there"
        )
        raise SourceError(f"path: {folder} holds no weights (*.safetensors); {remedy}")
    settings = [*path.glob("*.json"), *path.glob("*.jinja"), *path.glob("*.model")]
    hashes = digests(sorted(settings) + weights)
    return {
        file.name: {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in hashes.items()
    }


def describe(folder: str) -> dict[str, Any]:
    """Architecture, parameters, context length (tokens) and licence, as the files state them."""
    path = Path(folder)
    settings = json.loads((path / "config.json").read_text("utf-8"))
    text = settings.get("text_config", settings)
    return {
        "architecture": (settings.get("architectures") or ["unknown"])[0],
        "parameters": sum(_parameters(path)),
        "context_length": next((text[name] for name in CONTEXT_FIELDS if text.get(name)), None),
        "licence": _licence(path),
    }


def _parameters(path: Path) -> Iterator[int]:
    from safetensors import safe_open

    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="np") as weights:
            names = weights.keys()  # it is no mapping, so it cannot be iterated itself
            yield sum(math.prod(weights.get_slice(name).get_shape()) for name in names)


def _licence(path: Path) -> str:
    """The `license:` of the model card's front matter."""
    card = path / "README.md"
    for line in card.read_text("utf-8").splitlines() if card.exists() else []:
        if line.startswith("license:"):
            return line.removeprefix("license:").strip()
    return "not stated"
