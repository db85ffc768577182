"""Errors of Hub repositories, each with its remedy."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tunebench.data.sources.repository import Repository
from tunebench.errors import SourceError, suggest

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

KINDS = {"model": "model", "dataset": "data set"}


@contextmanager
def explained(repository: Repository) -> Iterator[None]:
    """Turn exceptions of huggingface_hub in the block into one clear message.

    It does not include their text, which may quote a request.

    Raises:
        SourceError: with the place, the culprit and the remedy.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        raise SourceError(_response_fault(repository, error)) from None
    except (errors.LocalEntryNotFoundError, errors.RevisionResolutionError) as error:
        cause = error.__cause__
        if isinstance(cause, errors.HfHubHTTPError):
            raise SourceError(_response_fault(repository, cause)) from None
        raise SourceError(_unreachable(repository)) from None
    except (errors.OfflineModeIsEnabled, httpx2.TransportError):
        raise SourceError(_unreachable(repository)) from None
    except OSError as error:
        raise SourceError(_disk(repository, error)) from None
    except (json.JSONDecodeError, httpx2.InvalidURL):
        raise SourceError(_no_hub(repository)) from None


def _response_fault(repository: Repository, error: HfHubHTTPError) -> str:
    """The message for an HTTP error status."""
    from huggingface_hub import constants, errors, get_token

    name, endpoint = repository.name, constants.ENDPOINT
    page = f"{endpoint}/{'datasets/' if repository.kind == 'dataset' else ''}{name}"
    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        token = "the account of your token" if get_token() else "your account"
        return (
            f"hub: {name} is gated; accept its licence at {page} with {token}, and set HF_TOKEN to"
            " a token of that account that may read gated repositories"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return _no_revision(repository)
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"hub: there is no {KINDS[repository.kind]} {name!r} at {endpoint}, or it is private;"
            " mend the name, or set HF_TOKEN to a token that may read it"
        )
    if isinstance(error, errors.DisabledRepoError):
        return f"hub: {name} is disabled at {endpoint}; choose another repository"
    if status in (401, 403):
        return (
            f"hub: {endpoint} refuses the token ({status}); set HF_TOKEN to a token that may read"
            f" {name}, made at {endpoint}/settings/tokens, or unset it"
        )
    return (
        f"hub: {endpoint} answers {status} for {name}; run again later: files that are fetched stay"
        " in the cache"
    )


def _no_revision(repository: Repository) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if repository.pinned:
        return (
            f"revision: {repository.pinned}, which an earlier run used, is not in {repository.name}"
            " any more; write another revision in params.yaml to take that one"
        )
    try:
        refs = HfApi().list_repo_refs(repository.name, repo_type=repository.kind)
        names = [ref.name for ref in (*refs.branches, *refs.tags)]
    except HfHubHTTPError:
        names = []
    hint = f"; {suggest(repository.revision, names)}" if names else ""
    return f"revision: {repository.wanted!r} is not in {repository.name}{hint}"


def _unreachable(repository: Repository) -> str:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        at = f" at {repository.wanted}" if repository.revision or repository.pinned else ""
        return (
            f"hub: {repository.name}{at} is not in the cache {constants.HF_HUB_CACHE}, or not the"
            " whole of it, and HF_HUB_OFFLINE is set; unset it and run again with a network"
        )
    return (
        f"hub: there is no connection to {constants.ENDPOINT} for {repository.name}; check the"
        " network, set HF_ENDPOINT to a mirror, or set HF_HUB_OFFLINE=1 if it is in the cache"
    )


def _no_hub(repository: Repository) -> str:
    from huggingface_hub import constants

    return (
        f"hub: {constants.ENDPOINT} does not answer as a Hub does for {repository.name}; mend"
        " HF_ENDPOINT, or unset it"
    )


def _disk(repository: Repository, error: OSError) -> str:
    from huggingface_hub import constants

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"hub: the disk of {constants.HF_HOME} is full; make room, or set HF_HOME to a larger"
            " one, and run again: files that are fetched stay in the cache"
        )
    if error.errno is not None:
        return (
            f"hub: {error.filename or constants.HF_HOME}: {error.strerror}; make it writable, or"
            " set HF_HOME to a folder that is"
        )
    return f"hub: a file of {repository.name} came in with a wrong size; run again to fetch it anew"
