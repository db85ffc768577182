"""The header of a GGUF file, read without a heavy import.

The format: github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench.errors import SourceError

SUFFIX = ".gguf"
AGAIN = "get the whole file again"
_VERSIONS = (2, 3)
# the struct format of each scalar type, by its number
_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape (in ggml's order, the fastest first), ggml type, and offset in bytes."""

    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file states: `metadata` without its arrays, and the tensors by their names."""

    metadata: dict[str, Any]
    tensors: dict[str, Tensor]
    data_start: int

    @property
    def architecture(self) -> str:
        """The architecture by llama.cpp's name for it, as `llama`."""
        return str(self.metadata["general.architecture"])

    @property
    def context_length(self) -> int:
        """How many tokens the model takes at most."""
        return int(self.metadata[f"{self.architecture}.context_length"])


def read(path: Path) -> Header:
    """The header of a GGUF file.

    Raises:
        SourceError: if it is cut or damaged, no GGUF file, or one part of several.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            header = _Reader(view, path).header()
            size = len(view)
    except (struct.error, UnicodeDecodeError, IndexError, OverflowError):
        raise SourceError(f"{path} is cut or has a damaged header; {AGAIN}") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; make it readable, or {AGAIN}") from None
    except ValueError:  # of mmap: an empty file
        raise SourceError(f"{path} is empty; {AGAIN}") from None
    if not header.tensors or "general.architecture" not in header.metadata:
        raise SourceError(f"{path} holds no model: no tensors, or no architecture; choose another")
    if header.metadata.get("split.count", 0) > 1:
        raise SourceError(
            f"{path} is one of {header.metadata['split.count']} parts; merge them into one file"
            " (llama-gguf-split --merge)"
        )
    if header.data_start + max(each.offset for each in header.tensors.values()) >= size:
        raise SourceError(f"{path} is cut: its last tensors are missing; {AGAIN}")
    return header


class _Reader:
    """Reads one value after the other."""

    def __init__(self, view: mmap.mmap, path: Path) -> None:
        self.view, self.path, self.at = view, path, 0

    def header(self) -> Header:
        magic, version = self.view[:4], self.scalar("<I", at=4)
        if magic != b"GGUF":
            raise SourceError(f"{self.path} is no GGUF file; name one, or a folder with a model")
        if version not in _VERSIONS:
            raise SourceError(
                f"{self.path} is GGUF of version {version}, or big-endian; version 2 and 3 are"
                " read: convert it again"
            )
        tensors, keys = self.scalar("<Q"), self.scalar("<Q")
        metadata = {}
        for _ in range(keys):
            key = self.string()
            value = self.value(self.scalar("<I"))
            if value is not None:
                metadata[key] = value
        described = dict(self.tensor() for _ in range(tensors))
        alignment = int(metadata.get("general.alignment", 32)) or 1
        return Header(metadata, described, -(-self.at // alignment) * alignment)

    def tensor(self) -> tuple[str, Tensor]:
        name, dimensions = self.string(), self.scalar("<I")
        if dimensions > _MOST_DIMENSIONS:
            raise IndexError(dimensions)
        shape = tuple(self.scalar("<Q") for _ in range(dimensions))
        return name, Tensor(shape, self.scalar("<I"), self.scalar("<Q"))

    def value(self, kind: int) -> Any:
        """A scalar or a string; None for an array, which is passed over."""
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(self.format(kind))
        inner, count = self.scalar("<I"), self.scalar("<Q")
        if inner == _STRING:
            for _ in range(count):
                self.skip(self.scalar("<Q"))
        else:
            self.skip(struct.calcsize(self.format(inner)) * count)
        return None

    def format(self, kind: int) -> str:
        if kind not in _SCALARS:  # arrays of arrays too, which no model has
            raise IndexError(kind)
        return _SCALARS[kind]

    def scalar(self, form: str, *, at: int | None = None) -> Any:
        start = self.at if at is None else at
        self.at = start + struct.calcsize(form)
        return struct.unpack_from(form, self.view, start)[0]

    def string(self) -> str:
        length = self.scalar("<Q")
        start = self.at
        self.skip(length)
        return self.view[start : self.at].decode("utf-8")

    def skip(self, length: int) -> None:
        self.at += length
        if self.at > len(self.view):
            raise IndexError(self.at)
