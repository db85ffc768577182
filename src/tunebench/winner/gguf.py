"""One file in llama.cpp's format, by its own converter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tunebench.errors import SourceError

CONVERTER = "convert_hf_to_gguf.py"
OUTTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def check_installed(*, reader: bool) -> None:
    """Check that the converter is there, and with `reader` a library that loads its file.

    Raises:
        SourceError: with how to get what is missing.
    """
    converter()
    if reader and find_spec("llama_cpp") is None:
        raise SourceError(
            "--check of a GGUF file needs llama-cpp-python: pip install llama-cpp-python, or leave"
            " --check out"
        )


def converter() -> Path:
    """llama.cpp's script, in the folder that LLAMA_CPP names, or on PATH.

    Raises:
        SourceError: if it is not there.
    """
    named = os.environ.get("LLAMA_CPP")
    found = shutil.which(CONVERTER) if named is None else str(Path(named) / CONVERTER)
    if found is None or not Path(found).exists():
        where = "on PATH" if named is None else f"in {named}"
        raise SourceError(
            f"--gguf: llama.cpp's {CONVERTER} is not {where}: git clone"
            " https://github.com/ggml-org/llama.cpp, pip install -r"
            " llama.cpp/requirements/requirements-convert_hf_to_gguf.txt, and set LLAMA_CPP to its"
            " folder"
        )
    return Path(found)


def convert(folder: Path, output: Path, *, dtype: str) -> None:
    """Convert a folder in transformers' layout, in the dtype of its weights.

    Raises:
        SourceError: what the converter says, if it fails.
    """
    command = [sys.executable, str(converter()), str(folder), "--outfile", str(output)]
    done = subprocess.run(
        [*command, "--outtype", OUTTYPES[dtype]], capture_output=True, text=True, check=False
    )
    if done.returncode or not output.exists():
        said = (done.stderr.strip().splitlines() or ["it wrote no file"])[-1]
        raise SourceError(
            f"--gguf: {CONVERTER} failed: {said}; export --merged and convert that by hand"
        )
