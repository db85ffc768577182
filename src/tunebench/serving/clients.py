"""Requests to a server: its API key goes nowhere else, and no message shows it.

No redirect is followed, since the key would go with the request. A server on this machine is asked
directly, whatever proxy the environment names.
"""

from __future__ import annotations

import ipaddress
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tunebench.errors import ServingError

MASK = "***"
SHORTEST_SECRET = 8  # in an answer; "EMPTY" or "none", where a server wants no key, are words
MOST_BYTES = 2**20  # of a reply that is read as JSON
USERINFO = re.compile(r"(\w+://)[^/\s@]+@")


def send(
    place: str,
    url: str,
    key: str | None,
    *,
    timeout_s: float,
    body: Mapping[str, Any] | None = None,
) -> HTTPResponse:
    """The response to a GET, or with a body to a POST of JSON.

    Raises:
        ServingError: if it is a redirect, with its target.
        urllib.error.HTTPError: on any other status than success.
        OSError, ValueError, http.client.HTTPException: if there is no response.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    proxies = [urllib.request.ProxyHandler({})] if is_local(url) else []
    opener = urllib.request.build_opener(_NoRedirects, *proxies)
    try:
        response: HTTPResponse = opener.open(
            urllib.request.Request(url, data, headers), timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        target = error.headers.get("Location")
        if not (300 <= error.code < 400 and target):
            raise
        error.close()
        raise ServingError(
            f"{place}: {masked(url, key)} redirects to {masked(target, key)}; no redirect is"
            " followed, since the API key would go with the request; write the address that answers"
            f" itself under {place}.url or {place}.ready"
        ) from None
    return response


def read_json(response: HTTPResponse) -> Any:
    """The JSON of a response.

    Raises:
        ValueError: if it is none, too long, or nested too deep.
    """
    try:
        return json.loads(response.read(MOST_BYTES))
    except RecursionError:
        raise ValueError("nested too deep") from None


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine by its loopback interface."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def proxy_environment(url: str) -> dict[str, str]:
    """The variables by which a process that asks only this URL uses no proxy where it needs none.

    httpx knows no address ranges, and with a SOCKS proxy in the environment refuses to start unless
    NO_PROXY is `*`.
    """
    return {"NO_PROXY": "*", "no_proxy": "*"} if is_local(url) else {}


def masked(text: str, key: str | None) -> str:
    """A message without the key, and without the passwords of URLs.

    >>> masked("wrong key abc at http://me:pass@host/", "abc")
    'wrong key *** at http://***@host/'
    """
    if key:
        text = text.replace(key, MASK)
    return USERINFO.sub(rf"\1{MASK}@", text)


def masked_answer(text: str, key: str | None) -> str:
    """An answer without the key, if that is long enough to be one and no word."""
    return text.replace(key, MASK) if key and len(key) >= SHORTEST_SECRET else text


@contextmanager
def log_file(path: Path, key: str | None) -> Iterator[IO[bytes]]:
    """A file for a program's output, from which the key is removed after the block."""
    try:
        with path.open("wb") as file:
            yield file
    finally:
        if key and key.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(key.encode(), MASK.encode()))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: urllib would send the key along, to another host too."""
