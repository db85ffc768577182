"""Servers that speak the OpenAI API: started, waited for, and ended again."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunebench.config.serving import Server
from tunebench.errors import ServingError
from tunebench.serving.processes import kept

HOST = "127.0.0.1"
POLL_S = 0.2
LAST_LINES = 5


@dataclass(frozen=True)
class Artifact:
    """What a server loads: the folder of a whole model, or of an untouched one and an adapter.

    `kind` is `base`, `whole` (all weights tuned), `merged`, or `adapter` beside the base.
    """

    kind: str
    model: Path
    dtype: str
    adapter: Path | None = None


@dataclass(frozen=True)
class Address:
    """Where requests go, the model that they ask for, and the key that they carry.

    `ready_s` are the seconds from the start of the program until it was ready; None where it ran
    already.
    """

    url: str
    model: str
    api_key: str | None = None
    ready_s: float | None = None


@contextmanager
def running(name: str, server: Server, artifact: Artifact, log: Path) -> Iterator[Address]:
    """A server that is ready, ended when the block ends.

    Args:
        log: the file that its output goes to.

    Raises:
        ServingError: if it is not installed, its port is in use, it ends or does not get ready.
    """
    place = f"inference.servers.{name}"
    key = _key(place, server)
    if server.url is not None:
        address = Address(server.url.rstrip("/").removesuffix("/v1"), str(server.model), key)
        _wait(place, server, address, None, log)
        yield address
        return
    port = _port(place, server.port)
    command = arguments(server, artifact, port)
    _installed(place, server, command[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log.open("wb") as file, kept(command, log=file) as process:
        address = Address(f"http://{HOST}:{port}", _asked(server, artifact), key)
        _wait(place, server, address, process, log)
        yield Address(address.url, address.model, key, time.perf_counter() - started)


def arguments(server: Server, artifact: Artifact, port: int) -> list[str]:
    """The program and its arguments, each place filled in.

    A folder's name may hold blanks, so places are filled after the words were parted. Programs of
    this environment come first, as the stages' own Python does.
    """
    text = str(server.command)
    if artifact.adapter is not None:
        text += f" {server.adapter_arguments}"
    places = {
        "model": artifact.model,
        "adapter": artifact.adapter,
        "dtype": artifact.dtype,
        "port": port,
    }
    words = [word.format(**places) for word in shlex.split(text)]
    beside = Path(sys.executable).with_name(words[0])
    return [str(beside) if beside.exists() else words[0], *words[1:]]


def died(log: Path) -> str:
    """What a server said last, for a message."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    said = "\n".join(f"  {line[:200]}" for line in lines[-LAST_LINES:])
    return f"its last words ({log}):\n{said}" if said else f"it said nothing ({log})"


def _asked(server: Server, artifact: Artifact) -> str:
    return str(artifact.model if artifact.adapter is None else server.adapter_name)


def _key(place: str, server: Server) -> str | None:
    if server.api_key_env is None:
        return None
    if not os.environ.get(server.api_key_env):
        raise ServingError(f"{place}.api_key_env: the variable {server.api_key_env} is not set")
    return os.environ[server.api_key_env]


def _port(place: str, wanted: int | str) -> int:
    """A port that nothing listens on; the system's choice where it is `auto`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, 0 if wanted == "auto" else int(wanted)))
        except OSError as error:
            remedy = "end what listens there, or write port: auto"
            raise ServingError(f"{place}.port: {wanted} is in use; {remedy}") from error
        return int(probe.getsockname()[1])


def _installed(place: str, server: Server, program: str) -> None:
    if shutil.which(program) is None:
        remedy = server.install or f"install it, or name another server under {place}.command"
        raise ServingError(f"{place}.command: {program} is not installed; {remedy}")


def _wait(
    place: str,
    server: Server,
    address: Address,
    process: subprocess.Popen[bytes] | None,
    log: Path,
) -> None:
    """Wait until the server answers with 200 where `ready` says."""
    url, fault = address.url + server.ready, ""
    until = time.monotonic() + server.ready_within_s
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            ended = f"ended with {process.returncode} before it was ready"
            raise ServingError(f"{place}: it {ended}; {died(log)}")
        fault = _fault(url, address.api_key)
        if not fault:
            return
        time.sleep(POLL_S)
    told = f"; {died(log)}" if process is not None else ""
    raise ServingError(
        f"{place}: not ready within ready_within_s = {server.ready_within_s:g} s: {url}: {fault}"
        f"{told}"
    )


def _fault(url: str, key: str | None) -> str:
    """Why a URL does not answer as it should; empty where it does."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
