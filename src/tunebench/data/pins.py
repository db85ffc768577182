"""A model's revision and files, and what they state about it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunebench.data import gguf_header, model_files
from tunebench.data.sources.fetching import fetch
from tunebench.data.sources.fingerprints import digests
from tunebench.data.sources.hub_faults import explained
from tunebench.data.sources.repository import Repository, licence, listing, resolve
from tunebench.errors import SourceError

CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")

# one file or numbered shards: no variants (model.fp16.safetensors), no consolidated.*
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
# other files in a repository's top folder that loading reads
SETTINGS = re.compile(r"(?!pytorch_model)[^/]*\.(json|jinja|model)|(merges|vocab)\.txt")


def pin(checked: dict[str, Any], *, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """A model's source, revision, files, and what these state.

    Args:
        checked: what the stage `check` wrote for it; with `folder` and `revision` where its files
            were made from another file.
        earlier: an earlier pin of that name, whose commit is used again if the source is unchanged.
    """
    source = checked["source"]  # not its methods, which change nothing of the model
    if "hub" in source:
        unchanged = earlier is not None and _asked(earlier["source"]) == _asked(source)
        return _pin_hub(source, pinned=earlier["revision"] if earlier and unchanged else None)
    hashes = "".join(file["sha256"] for file in checked["files"].values())
    revision = checked.get("revision") or hashlib.sha256(hashes.encode()).hexdigest()
    described = describe(checked.get("folder") or source["path"])
    return {"source": source, "files": checked["files"], "revision": revision} | described


def _asked(source: dict[str, str]) -> list[str | None]:
    """The repository and revision that a source names."""
    return [source.get("hub"), source.get("revision")]


def _pin_hub(source: dict[str, str], *, pinned: str | None) -> dict[str, Any]:
    """Download the files that loading a model reads into the Hugging Face cache, and pin them."""
    repository = Repository(source["hub"], "model", source.get("revision"), pinned)
    with explained(repository):
        commit = resolve(repository)
        files_listed = listing(repository, commit)
        chosen = _chosen(repository, files_listed)
        card = [name for name in ("README.md",) if name in files_listed]
        snapshot = fetch(repository, commit, {name: files_listed[name] for name in chosen + card})
    with _faults_at(f"hub: {repository.name}"):
        model_files.check(snapshot.folder, chosen)
    return {
        "source": source,
        "files": {
            name: {
                "bytes": (snapshot.folder / name).stat().st_size,
                "sha256": snapshot.sha256[name],
            }
            for name in chosen
        },
        "revision": commit,
        **describe(str(snapshot.folder), weights=filter(WEIGHTS.fullmatch, chosen)),
    }


def _chosen(repository: Repository, files_listed: Iterable[str]) -> list[str]:
    """The files that loading reads, in order."""
    names = sorted(files_listed)
    weights = [name for name in names if WEIGHTS.fullmatch(name)]
    if "model.safetensors" in weights:  # it takes precedence over shards
        weights = ["model.safetensors"]
    if not weights:
        raise SourceError(
            f"hub: {repository.name} holds no weights (model*.safetensors in its top folder);"
            f" {_instead_of_weights(names)}"
        )
    if "config.json" not in names:
        raise SourceError(
            f"hub: {repository.name} holds no config.json; choose a transformers model"
        )
    return sorted([name for name in names if SETTINGS.fullmatch(name)] + weights)


def _instead_of_weights(names: list[str]) -> str:
    if "adapter_config.json" in names:
        return "it is an adapter: name its base model"
    if any(name.endswith((".bin", ".pt", ".pth", ".h5")) for name in names):
        return (
            "its weights could run code when read: choose a repository with safetensors, or convert"
            " it and give path:"
        )
    return "choose a repository with safetensors"


def files(folder: str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file that loading a local model reads.

    Args:
        folder: a folder, or a GGUF file.

    Raises:
        SourceError: if it holds no model in the Hugging Face layout with safetensors.
    """
    path = Path(folder)
    if path.is_file() and path.suffix == gguf_header.SUFFIX:
        with _faults_at("path"):
            gguf_header.read(path)
        return _described([path])
    if not path.is_dir():
        raise SourceError(
            f"path: {folder} is no folder; name one with config.json and weights, or a GGUF file"
        )
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
    named = sorted(settings) + weights
    with _faults_at("path"):
        model_files.check(path, [file.name for file in named])
    return _described(named)


def _described(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    return {
        file.name: {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in digests(files).items()
    }


def describe(folder: str, *, weights: Iterable[str] | None = None) -> dict[str, Any]:
    """Architecture, parameters, context length (tokens) and licence, as the files state them.

    Args:
        weights: names of the weight files; all safetensors if None.
    """
    path = Path(folder)
    files = (
        sorted(path.glob("*.safetensors")) if weights is None else [path / name for name in weights]
    )
    settings = model_files.read(path / "config.json")
    inner, architectures = settings.get("text_config"), settings.get("architectures")
    text = inner if isinstance(inner, dict) else settings
    return {
        "architecture": architectures[0]
        if isinstance(architectures, list) and architectures
        else "unknown",
        "parameters": model_files.parameters(files),
        "vocabulary_size": text.get("vocab_size"),
        "context_length": next((text[name] for name in CONTEXT_FIELDS if text.get(name)), None),
        "licence": licence(path) or "not stated",
    }


@contextmanager
def _faults_at(key: str) -> Iterator[None]:
    """Put a key of params.yaml before the message of a fault in the block."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{key}: {error}") from None
