"""Repositories of the Hugging Face Hub: the commit of a revision, and its files.

Transport is by huggingface_hub: its cache, its retries with back-off, `HF_ENDPOINT`, `HF_TOKEN` and
`HF_HUB_OFFLINE` work as documented. The functions raise its exceptions, which callers turn into one
clear message with `hub_faults.explained`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from tunebench.errors import SourceError

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")


@dataclass(frozen=True)
class Repository:
    """A repository as params.yaml names it; `pinned` is the commit of an earlier run, if any."""

    name: str
    kind: Literal["model", "dataset"]
    revision: str | None = None
    pinned: str | None = None

    @property
    def label(self) -> str:
        """The name without its owner."""
        return self.name.rsplit("/", maxsplit=1)[-1]

    @property
    def wanted(self) -> str:
        """The revision to resolve."""
        return self.pinned or self.revision or "main"


def check_name(name: str) -> None:
    """Check that a name is a valid repository name, without a network.

    Raises:
        SourceError: if it is not.
    """
    if not NAME.fullmatch(name) or "--" in name or ".." in name:
        raise SourceError(f"hub: {name!r} is no repository name; write owner/name")


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` is set."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def resolve(repository: Repository) -> str:
    """The commit of the wanted revision; offline, the one in the cache."""
    from huggingface_hub import HfApi

    if not offline():
        _reach(repository)
    resolved = HfApi().resolve_revision(
        repository.name,
        repo_type=repository.kind,
        revision=repository.wanted,
        local_files_only=offline(),
    )
    return resolved.resolved


def _reach(repository: Repository) -> None:
    """Request the revision with retries, which `resolve_revision` lacks."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    place = f"{constants.ENDPOINT}/api/{repository.kind}s/{repository.name}"
    response = http_backoff(
        "GET",
        f"{place}/revision/{quote(repository.wanted, safe='')}",
        headers=build_hf_headers(),
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        # without ConnectError: a missing network is reported at once
        retry_on_exceptions=(httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.TimeoutException),
    )
    hf_raise_for_status(response)


def listing(repository: Repository, commit: str) -> dict[str, RepoFile | None]:
    """The files of a commit with their metadata; None if only the name is known (offline)."""
    from huggingface_hub import HfApi, RepoFile, get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    if not offline():
        tree = HfApi().list_repo_tree(
            repository.name, recursive=True, revision=commit, repo_type=repository.kind
        )
        return {file.path: file for file in tree if isinstance(file, RepoFile)}
    try:
        tree_cached = get_cached_repo_tree(
            repository.name, revision=commit, repo_type=repository.kind
        )
        return dict.fromkeys(file.path for file in tree_cached)
    except CachedRepoTreeNotFoundError:  # another program downloaded single files
        folder = Path(
            snapshot_download(
                repository.name, revision=commit, repo_type=repository.kind, local_files_only=True
            )
        )
        files = (path for path in folder.rglob("*") if path.is_file())
        return dict.fromkeys(path.relative_to(folder).as_posix() for path in files)


def licence(folder: Path) -> str | None:
    """The `license:` of a repository's card; None if it has no readable one."""
    from huggingface_hub import RepoCard
    from yaml import YAMLError

    path = folder / "README.md"
    if not path.exists():
        return None
    try:
        stated: Any = RepoCard.load(path, ignore_metadata_errors=True).data.get("license")
    except (ValueError, YAMLError):
        return None
    return ", ".join(stated) if isinstance(stated, list) else stated
