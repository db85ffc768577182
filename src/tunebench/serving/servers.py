"""Servers that speak the OpenAI API: started, waited for, and stopped."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path

from tunebench.config.inference import Server
from tunebench.errors import ServingError
from tunebench.serving import clients
from tunebench.serving.processes import supervised

HOST = "127.0.0.1"
POLL_S = 0.2
LAST_LINES = 5


@dataclass(frozen=True)
class Artifact:
    """What a server loads: the folder of a model, and of an adapter where it is loaded beside it.

    `kind` is `base`, `whole` (all weights tuned), `merged`, `adapter` beside the base, or
    `external`, which is loaded already.
    """

    kind: str
    model: Path
    dtype: str
    adapter: Path | None = None


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, the model name and the API key that they carry.

    `ready_s` is the seconds from the server's start until it was ready. It, `process` and `log` are
    None for a server that ran already.
    """

    place: str
    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    ready_s: float | None = None

    def check(self) -> None:
        """Check that the server still runs.

        Raises:
            ServingError: if it has exited, with the last lines of its log.
        """
        if self.process is None or self.process.poll() is None:
            return
        status = self.process.returncode
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise ServingError(f"{self.place}: the server ended with {ended}; {self.last_words()}")

    def last_words(self) -> str:
        """The end of the server's log, for a message."""
        return last_words(self.log, self.api_key) if self.log else "its log is elsewhere"


@contextmanager
def running(name: str, server: Server, artifact: Artifact, log: Path) -> Iterator[Endpoint]:
    """A server that is ready, stopped after the block.

    Args:
        log: the file that its output goes to.

    Raises:
        ServingError: if it is not installed, its port is in use, it exits or does not get ready.
    """
    place = f"inference.servers.{name}"
    key = _key(place, server)
    if server.url is not None:
        url = server.url.rstrip("/").removesuffix("/v1")
        external = Endpoint(place, url, str(server.model), key)
        _wait(server, external)
        yield external
        return
    port = _port(place, server.port)
    command = arguments(server, artifact, port)
    _check_installed(place, server, command[0])
    started = time.perf_counter()
    with clients.log_file(log, key) as file, supervised(command, log=file) as process:
        model = str(artifact.model if artifact.adapter is None else server.adapter_name)
        endpoint = Endpoint(place, f"http://{HOST}:{port}", model, key, process, log)
        _wait(server, endpoint)
        yield replace(endpoint, ready_s=time.perf_counter() - started)


def arguments(server: Server, artifact: Artifact, port: int) -> list[str]:
    """The program and its arguments, with the placeholders filled in.

    The command is split before they are filled in, since a folder's name may hold blanks. Programs
    in this Python environment come first.
    """
    text = str(server.command)
    if artifact.adapter is not None:
        text += f" {server.adapter_arguments}"
    values = {
        "model": artifact.model,
        "adapter": artifact.adapter,
        "dtype": artifact.dtype,
        "port": port,
    }
    words = [word.format(**values) for word in shlex.split(text)]
    own = Path(sys.executable).parent / words[0]  # words[0] itself if that is an absolute path
    return [str(own) if own.exists() else words[0], *words[1:]]


def last_words(log: Path, key: str | None) -> str:
    """The last lines of a program's log, for a message, without the API key."""
    text = clients.masked(log.read_text("utf-8", "replace"), key)
    lines = [line for line in text.splitlines() if line.strip()]
    tail = "\n".join(f"  {line[:200]}" for line in lines[-LAST_LINES:])
    return f"its last words ({log}):\n{tail}" if tail else f"it said nothing ({log})"


def _key(place: str, server: Server) -> str | None:
    if server.api_key_env is None:
        return None
    key = os.environ.get(server.api_key_env, "").strip()  # files that hold one end with a line end
    if not key:
        raise ServingError(f"{place}.api_key_env: the variable {server.api_key_env} is not set")
    if not (key.isascii() and key.isprintable()):
        raise ServingError(
            f"{place}.api_key_env: {server.api_key_env} holds characters that no header can carry;"
            " set it to the key alone"
        )
    return key


def _port(place: str, port: int | str) -> int:
    """A port that nothing listens on; a free one if it is `auto`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, 0 if port == "auto" else int(port)))
        except OSError as error:
            remedy = "end what listens there, or write port: auto"
            raise ServingError(f"{place}.port: {port} is in use; {remedy}") from error
        return int(probe.getsockname()[1])


def _check_installed(place: str, server: Server, program: str) -> None:
    if shutil.which(program) is None:
        remedy = server.install or "install it, or name another server under inference.server"
        raise ServingError(f"{place}.command: {program} is not installed; {remedy}")


def _wait(server: Server, endpoint: Endpoint) -> None:
    """Wait until the server answers with success at `server.ready`."""
    url, fault = endpoint.url + server.ready, ""
    until = time.monotonic() + server.ready_within_s
    while time.monotonic() < until:
        endpoint.check()
        fault = _fault(url, endpoint)
        if not fault:
            return
        time.sleep(POLL_S)
    raise ServingError(
        f"{endpoint.place}: not ready within ready_within_s = {server.ready_within_s:g} s: {url}:"
        f" {fault}; {endpoint.last_words()}"
    )


def _fault(url: str, endpoint: Endpoint) -> str:
    """Why a URL does not answer with success; empty if it does."""
    try:
        with clients.send(endpoint.place, url, endpoint.api_key, timeout_s=5):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return clients.masked(f"it answers {error.code} {error.reason}", endpoint.api_key)
    except (OSError, ValueError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        return clients.masked(reason, endpoint.api_key)
