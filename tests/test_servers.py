"""Servers that are started, waited for and ended, with a server of the tests' own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from tunebench.config.inference import Server
from tunebench.errors import ServingError
from tunebench.serving import servers
from tunebench.serving.servers import Artifact

OWN = Path(__file__).with_name("openai_server.py")
SERVED = Artifact("base", Path("a model"), "float32")


WORKER = "PYTEST_XDIST_WORKER"  # other workers have servers of their own


def own(options: str = "", **given: Any) -> Server:
    command = f"{sys.executable} {OWN} {{port}} --model {{model}} {options}"
    return Server(**{"command": command, "ready_within_s": 30.0} | given)


def running(server: Server, log: Path) -> Any:
    return servers.running("own", server, SERVED, log)


def descendants() -> set[int]:
    return {process.pid for process in psutil.process_iter() if is_ours(process)}


def is_ours(process: psutil.Process) -> bool:
    try:
        line, worker = " ".join(process.cmdline()), process.environ().get(WORKER)
    except psutil.Error:
        return False
    return worker == os.environ.get(WORKER) and (OWN.name in line or "sleep 86399" in line)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process that a test started is there when it ends."""
    before = descendants()
    yield
    until = time.monotonic() + 30
    while (left := descendants() - before) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def test_a_server_runs_while_the_block_does(tmp_path: Path) -> None:
    with running(own("--ready-after-s 1"), tmp_path / "log") as endpoint:
        endpoint.check()
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert endpoint.model == "a model"
        assert 1 <= endpoint.ready_s < 30


def test_what_it_starts_ends_with_it(tmp_path: Path) -> None:
    with running(own("--child"), tmp_path / "log"):
        assert len(descendants()) >= 2


def test_it_ends_where_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), running(own(), tmp_path / "log"):
        raise KeyboardInterrupt


def test_it_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with running(own(), tmp_path / "log") as endpoint:
        (server,) = psutil.Process(endpoint.process.pid).children()
        endpoint.process.kill()
        server.wait(timeout=20)
        with pytest.raises(ServingError, match="the server ended with signal 9"):
            endpoint.check()


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
import sys; sys.path.insert(0, "tests")
from test_servers import own, running
with running(own("--child"), Path({str(tmp_path / "log")!r})):
    print("ready", flush=True)
    time.sleep(600)
"""
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    assert len(descendants()) >= 2
    os.killpg(process.pid, signal.SIGKILL)  # the whole group, as a terminal or a scheduler does
    process.wait()


def test_never_ready(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ServingError, match=r"not ready within ready_within_s = 3 s: .*it answers 503"
        ),
        running(own("--ready-after-s 600", ready_within_s=3.0), tmp_path / "log"),
    ):
        pass


def test_ends_before_it_is_ready(tmp_path: Path) -> None:
    with (
        pytest.raises(ServingError, match=r"own: the server ended with exit status 2; its last"),
        running(own("--no-such-option"), tmp_path / "log"),
    ):
        pass
    assert "--no-such-option" in (tmp_path / "log").read_text()


def test_a_missing_program(tmp_path: Path) -> None:
    absent = Server(command="no-such-server {model} {port}", install="pip install it")
    with (
        pytest.raises(ServingError, match="no-such-server is not installed; pip install it"),
        running(absent, tmp_path / "log"),
    ):
        pass


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((servers.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServingError, match=f"own.port: {port} is in use; end what listens"),
            running(own(port=port), tmp_path / "log"),
        ):
            pass


def test_places_are_filled_word_by_word() -> None:
    server = Server(
        command="serve {model} --port {port} --dtype {dtype}",
        adapter_arguments="--lora tuned={adapter}",
        adapter_name="tuned",
    )
    whole = Artifact("merged", Path("/a b/c"), "bfloat16")
    assert servers.arguments(server, whole, 80) == [
        "serve", "/a b/c", "--port", "80", "--dtype", "bfloat16"
    ]  # fmt: skip
    beside = Artifact("adapter", Path("/m"), "bfloat16", Path("/a"))
    assert servers.arguments(server, beside, 80)[-2:] == ["--lora", "tuned=/a"]


@pytest.fixture
def external() -> Iterator[str]:
    """A server that runs already, and wants a key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["Authorization"] == "Bearer secret"
            self.send_response(200 if allowed else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((servers.HOST, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{servers.HOST}:{server.server_address[1]}"
        server.shutdown()


def test_an_external_server(external: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(url=f"{external}/v1", model="m", api_key_env="OUR_KEY", ready_within_s=1.0)
    with pytest.raises(ServingError, match="the variable OUR_KEY is not set"):
        running(server, tmp_path / "log").__enter__()
    monkeypatch.setenv("OUR_KEY", "wrong")
    with pytest.raises(ServingError, match="it answers 401"):
        running(server, tmp_path / "log").__enter__()
    monkeypatch.setenv("OUR_KEY", "secret")
    with running(server, tmp_path / "log") as endpoint:
        assert (endpoint.url, endpoint.model, endpoint.api_key) == (external, "m", "secret")
        endpoint.check()
