"""What is to be downloaded: models and data sets that are neither local nor in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, Literal

from tunebench import paths, results
from tunebench.config.schema import Params
from tunebench.data.pins import SETTINGS, WEIGHTS
from tunebench.doctor.hub import PATIENCE_S
from tunebench.estimates import sizes


@dataclass(frozen=True)
class Download:
    """One repository of the Hub; `bytes` is None where nobody says how large it is."""

    kind: Literal["model", "dataset"]
    name: str
    repository: str
    bytes: int | None


def needed(params: Params, *, downloaded: list[str], offline: bool = False) -> list[Download]:
    """Models and data sets of the grid that are to be downloaded.

    Args:
        downloaded: data sets whose rows are here.
        offline: ask the Hub for nothing.
    """
    found = [*_models(params), *_datasets(params, downloaded)]
    if not found or offline or _offline():
        return found
    return _asked(found)


def _models(params: Params) -> Iterator[Download]:
    for name in params.grid.models:
        model = params.models[name]
        if model.hub is None:
            continue
        folder = sizes.folder_of(model, ("config.json",))
        if folder is not None and any(folder.glob("*.safetensors")):
            continue
        pin = results.earlier(paths.pin(name)) or {}
        known = pin.get("source", {}).get("hub") == model.hub
        size = sum(file["bytes"] for file in pin["files"].values()) if known else None
        yield Download("model", name, model.hub, size)


def _datasets(params: Params, downloaded: list[str]) -> Iterator[Download]:
    for name in params.grid.datasets:
        if (hub := params.datasets[name].hub) and name not in downloaded:
            yield Download("dataset", name, hub, None)


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _asked(found: list[Download]) -> list[Download]:
    """The same with the sizes that the Hub states, as far as it answers in time."""
    sizes: dict[str, int] = {}

    def ask() -> None:
        for each in found:
            if each.bytes is None:
                sizes[each.repository] = _size(each)

    # the look-up of a name knows no time limit, and a daemon holds up no end
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return [
        Download(each.kind, each.name, each.repository, sizes.get(each.repository, each.bytes))
        for each in found
    ]


def _size(download: Download) -> int:
    """Bytes of the files that are read, by the Hub."""
    from huggingface_hub import HfApi

    api: Any = HfApi()
    files = api.repo_info(
        download.repository, repo_type=download.kind, files_metadata=True, timeout=PATIENCE_S
    ).siblings
    return sum(
        int(file.size or 0)
        for file in files
        if download.kind == "dataset"
        or WEIGHTS.fullmatch(file.rfilename)
        or SETTINGS.fullmatch(file.rfilename)
    )
