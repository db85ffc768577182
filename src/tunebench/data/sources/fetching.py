"""Files of a Hub repository, downloaded into the Hugging Face cache and verified there."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench.data.sources.fingerprints import digests
from tunebench.data.sources.repository import Repository, offline
from tunebench.errors import SourceError

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

log = logging.getLogger(__name__)

WAITS_S = (1, 4, 16)
# smaller downloads are not announced
MIN_ANNOUNCED_BYTES = 1_000_000
# the progress bar of `snapshot_download` that shows downloaded bytes
BAR = "huggingface_hub.snapshot_download.transfer"


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit in the Hugging Face cache, with their SHA-256."""

    folder: Path
    sha256: Mapping[str, str]


def fetch(repository: Repository, commit: str, files: Mapping[str, RepoFile | None]) -> Snapshot:
    """Download files of a commit into the cache and verify them; offline, find them there.

    Raises:
        SourceError: if the disk is full, or a file has not the size and hash that the Hub states.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    if _announced(repository, commit, [file for file in files.values() if file is not None]):
        enable_progress_bars(BAR)
    download = partial(
        snapshot_download,
        repository.name,
        repo_type=repository.kind,
        revision=commit,
        allow_patterns=[escape(name) for name in files],
        local_files_only=offline(),
    )
    folder = Path(_with_retries(download))
    paths = {name: folder / name for name in files}
    hashes = digests(paths.values())
    for name, file in files.items():
        if file is not None:
            _verify(repository, commit, paths[name], hashes[paths[name]], file)
    return Snapshot(folder, {name: hashes[path] for name, path in paths.items()})


def _with_retries(download: Callable[[], str]) -> str:
    """Retry where the library does not: after a 5xx or a reset during a file.

    Complete files are not downloaded again.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for wait in WAITS_S:
        try:
            return download()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status < 500:
                raise
            reason = f"the Hub answers {status}"
        except httpx2.NetworkError:
            reason = "the connection was cut"
        log.warning("%s; trying again in %d s", reason, wait)
        time.sleep(wait)
    return download()


def _announced(repository: Repository, commit: str, files: Iterable[RepoFile]) -> bool:
    """Log what will be downloaded if it is large, and return whether it is.

    Raises:
        SourceError: if the disk is too full.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    missing = [
        file.size
        for file in files
        if not isinstance(
            try_to_load_from_cache(
                repository.name, file.path, revision=commit, repo_type=repository.kind
            ),
            str,
        )
    ]
    if not missing:
        return False
    cache, size = Path(constants.HF_HUB_CACHE), sum(missing)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if size > free:
        raise SourceError(
            f"hub: {repository.name} needs {_readable(size)} more in {cache}, where"
            f" {_readable(free)} are free; make room, or set HF_HOME to a larger disk"
        )
    if size < MIN_ANNOUNCED_BYTES:
        return False
    what = f"{repository.name} at {commit[:12]}: {len(missing)} files, {_readable(size)}"
    log.info("fetching %s", what)
    return True


def _readable(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _verify(repository: Repository, commit: str, path: Path, sha256: str, stated: RepoFile) -> None:
    """Compare a file with its stated size and hash; remove it from the cache if it differs."""
    if stated.lfs is not None:
        matches = sha256 == stated.lfs.sha256
    else:
        content = path.read_bytes()  # small: it is in Git, not in LFS
        framed = b"blob %d\0" % len(content) + content
        matches = hashlib.sha1(framed, usedforsecurity=False).hexdigest() == stated.blob_id
    if matches and path.stat().st_size == stated.size:
        return
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise SourceError(
        f"hub: {stated.path} of {repository.name} at {commit[:12]} has not the size and hash that"
        " the Hub states; it was damaged on the way, and is removed from the cache: run again to"
        " fetch it anew"
    )
