"""Room on the disks that a run writes to."""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tunebench import paths
from tunebench.doctor.findings import Finding, fault, ok, size, warning

FULL_BYTES, LOW_BYTES = 1e9, 10e9  # a 7B model in bfloat16 is 14.5 GB


def check() -> Iterator[Finding]:
    """Room where data/, the Hugging Face cache and DVC's cache lie."""
    places = (
        ("data/", paths.DATA, "make room, or put data/ on a larger disk by a link"),
        ("HF cache", hub_cache(), "make room: hf cache prune; or: export HF_HOME=<a larger disk>"),
        ("DVC cache", dvc_cache(), "make room: dvc gc -w; or: dvc cache dir --local <a folder>"),
    )
    for name, folder, remedy in places:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        values = {"folder": str(folder), "free_bytes": free}
        text = f"{size(free)} free for {folder}"
        if not os.access(there, os.W_OK):
            remedy = f"chmod u+w {there}"
            yield fault("machine", name, f"{there} cannot be written to", remedy=remedy, **values)
        elif free < FULL_BYTES:
            yield fault("machine", name, text, remedy=remedy, **values)
        elif free < LOW_BYTES:
            yield warning("machine", name, text, remedy=remedy, **values)
        else:
            yield ok("machine", name, text, **values)


def hub_cache() -> Path:
    """The folder of downloaded models, as huggingface_hub would choose it."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    return Path(HF_HUB_CACHE)


def dvc_cache() -> Path:
    """DVC's cache, as the repository's own configuration files name it."""
    folder = Path(".dvc")
    for name in ("config.local", "config"):
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(folder / name, encoding="utf-8")
        if directory := settings.get("cache", "dir", fallback=""):
            return Path(os.path.normpath(folder / Path(directory).expanduser()))
    return folder / "cache"
