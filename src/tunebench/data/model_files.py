"""Files of a model's folder: whole, and what they state; read without a heavy import."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tunebench.errors import SourceError

INDEX = "model.safetensors.index.json"
# they hold a JSON object wherever they are
SETTINGS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", INDEX,
)  # fmt: skip
AGAIN = "get the whole file again"
_POINTER = b"version https://git-lfs"
_MAX_HEADER_BYTES = 100_000_000  # of safetensors itself


def check(folder: Path, names: Iterable[str]) -> None:
    """Refuse a model's files that are cut, damaged, or stand in for others.

    Args:
        names: of the files that loading reads.

    Raises:
        SourceError: with the first such file, what is wrong, and what to do.
    """
    names = list(names)
    for name in names:
        try:
            _check_file(folder / name)
        except OSError as error:
            raise SourceError(
                f"{folder / name}: {error.strerror}; make it readable, or {AGAIN}"
            ) from None
    if (folder / "adapter_config.json").exists():
        raise SourceError(
            f"{folder} holds an adapter beside the model (adapter_config.json), which transformers"
            " would add to it; move it away, or merge it into the weights"
        )
    _check_shards(folder, names)


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise SourceError(
                f"{path} is a Git LFS pointer, not the file; run `git lfs pull` in its repository"
            )
    if path.name in SETTINGS:
        read(path)
    if path.suffix == ".safetensors":
        shapes(path)


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        SourceError: if it is cut, or no JSON object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is cut or damaged ({error}); {AGAIN}") from None
    if not isinstance(content, dict):
        raise SourceError(f"{path} holds no JSON object; {AGAIN}")
    return content


def shapes(path: Path) -> dict[str, list[int]]:
    """The shape of each tensor in a safetensors file, by its name.

    `safetensors.safe_open` would import numpy, which takes longer than the rest of `check`; it
    reads the file again when the model is loaded. The format:
    huggingface.co/docs/safetensors/index#format

    Raises:
        SourceError: if the file is cut, or its header damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise SourceError(f"{path} is cut, or no safetensors file; {AGAIN}")
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        found = {name: [int(size) for size in entry["shape"]] for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise SourceError(f"{path} has a damaged header; {AGAIN}") from None
    if 8 + length + end != size:
        wrong = "cut" if size < 8 + length + end else "too long"
        raise SourceError(f"{path} is {wrong}: {size:,} of {8 + length + end:,} bytes; {AGAIN}")
    return found


def parameters(files: Iterable[Path]) -> int:
    """How many numbers the tensors of safetensors files hold."""
    return sum(math.prod(shape) for file in files for shape in shapes(file).values())


def _check_shards(folder: Path, names: list[str]) -> None:
    if "model.safetensors" in names:  # it takes precedence over shards
        return
    if INDEX not in names:
        weights = ", ".join(name for name in names if name.endswith(".safetensors"))
        raise SourceError(
            f"{folder} holds neither model.safetensors nor {INDEX}, but {weights}; add the index,"
            " or rename the file"
        )
    missing = sorted(set(_named(folder / INDEX)) - set(names))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SourceError(
            f"{folder / INDEX} names {missing[0]}{more}, missing there; copy all shards there"
        )


def _named(index: Path) -> Iterator[str]:
    """The files that an index names."""
    weight_map = read(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise SourceError(f"{index} has no weight_map; {AGAIN}")
    yield from map(str, weight_map.values())
