"""Where the model folder of a GGUF file is: in the Hugging Face cache."""

from __future__ import annotations

from pathlib import Path

CONVERSION = 1  # raise it where the same file would become another folder


def folder(sha256: str, dtype: str) -> Path:
    """The folder of the GGUF file with this SHA-256, there or not yet.

    Args:
        dtype: of the model's settings.
    """
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "tunebench" / "gguf" / f"{sha256[:32]}-{stored(dtype)}-{CONVERSION}"


def stored(dtype: str) -> str:
    """The dtype of the weights on the disk; `auto` is chosen only when they are there."""
    return "float32" if dtype == "auto" else dtype
