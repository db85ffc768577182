"""An API key goes to its own server alone, is shown nowhere, and loopback needs no proxy."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from test_servers import own, running

from tunebench.config.inference import Server
from tunebench.errors import ServingError
from tunebench.serving import clients, load
from tunebench.serving.payloads import _count_tokens
from tunebench.serving.servers import Endpoint

KEY = "sk-our-secret-key"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Recorder(ThreadingHTTPServer):
    """A server that keeps the headers and paths of its requests, and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.answer: Any = lambda path: (200, {}, b"{}")
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append((self.path, self.headers["Authorization"]))
        status, headers, body = self.server.answer(self.path)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def ours() -> Iterator[Recorder]:
    with recorder() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Recorder]:
    with recorder() as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("OUR_KEY", KEY)


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")


def external(url: str) -> Server:
    return Server(url=url, model="m", api_key_env="OUR_KEY", ready_within_s=5.0)


def redirecting(status: int, target: str) -> Any:
    return lambda path: (status, {"Location": target}, b"")


@contextmanager
def loaded(endpoint: Endpoint, folder: Path) -> Iterator[Callable[[], load.Request]]:
    """What makes one request, by one guidellm: it takes seconds to start."""
    with load.guidellm(
        endpoint, ["a b"], body={"max_tokens": 1}, timeout_s=10, log=folder / "guidellm.log"
    ) as source:
        yield lambda: source.load(None, 1, seed=0).requests[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_waiting_follows_no_redirect(
    ours: Recorder, other: Recorder, tmp_path: Path, status: int
) -> None:
    target = f"{other.url}/health"
    ours.answer = redirecting(status, target)
    with pytest.raises(ServingError) as fault, running(external(ours.url), tmp_path / "log"):
        pass
    assert f"{ours.url}/health redirects to {target}" in str(fault.value)
    assert "servers.own.url" in str(fault.value)
    assert [key for _, key in ours.seen] == [f"Bearer {KEY}"]  # asked once, not until a time-out
    assert other.seen == []


def test_counting_tokens_follows_no_redirect(ours: Recorder, other: Recorder) -> None:
    ours.answer = redirecting(307, f"{other.url}/v1/completions")
    endpoint = Endpoint("place", ours.url, "m", KEY)
    with pytest.raises(ServingError, match=f"redirects to {other.url}"):
        _count_tokens(endpoint, [1, 2], 5)
    assert [path for path, _ in ours.seen] == ["/v1/completions"]
    assert other.seen == []


@pytest.mark.usefixtures("dead_proxy")
def test_a_load_keeps_the_key(ours: Recorder, other: Recorder, tmp_path: Path) -> None:
    endpoint = Endpoint("place", ours.url, "m", KEY)
    event = {"choices": [{"index": 0, "text": f"your key is {KEY}"}]}
    with loaded(endpoint, tmp_path) as request:
        ours.answer = redirecting(307, f"{other.url}/v1/completions?key={KEY}")
        error = request().error
        ours.answer = lambda path: (
            200,
            {"Content-Type": "text/event-stream"},
            f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode(),
        )
        answered = request()
    assert ours.seen == [("/v1/completions", f"Bearer {KEY}")] * 2
    assert other.seen == []
    assert f"{other.url}/v1/completions?key=***" in error
    assert (answered.text, answered.error) == ("your key is ***", "")
    assert KEY not in repr(endpoint)


def test_messages_that_repeat_the_key(ours: Recorder, tmp_path: Path) -> None:
    ours.answer = redirecting(307, f"http://127.0.0.1:9/?key={KEY}")
    with (
        pytest.raises(ServingError, match=r"\?key=\*\*\*;"),
        running(external(ours.url), tmp_path / "log"),
    ):
        pass

    class Chatty(Handler):
        def do_GET(self) -> None:
            self.send_response(401, f"no such key: {KEY}")
            self.end_headers()

    ours.RequestHandlerClass = Chatty
    server = external(ours.url).model_copy(update={"ready_within_s": 0.5})
    with pytest.raises(ServingError) as fault, running(server, tmp_path / "log"):
        pass
    assert r"it answers 401 no such key: ***" in str(fault.value)


def test_a_log_that_repeats_the_key(tmp_path: Path) -> None:
    log = tmp_path / "log"
    chatty = Server(
        command="sh -c 'echo my key is $OUR_KEY; exit 3' {model} {port}", api_key_env="OUR_KEY"
    )
    with pytest.raises(ServingError, match="my key is \\*\\*\\*"), running(chatty, log):
        pass
    assert log.read_text() == "my key is ***\n"


@pytest.mark.parametrize("value", ["two\nlines", "näh", "a\tb"])
def test_a_key_that_no_header_can_hold(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", value)
    with (
        pytest.raises(ServingError, match="api_key_env: OUR_KEY holds") as fault,
        running(external("http://127.0.0.1:9"), tmp_path / "log"),
    ):
        pass
    assert value not in str(fault.value)


def test_a_line_end_after_the_key_is_not_sent(
    ours: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", f"{KEY}\n")
    with running(external(ours.url), tmp_path / "log"):
        assert ours.seen == [("/health", f"Bearer {KEY}")]


def test_passwords_in_addresses_are_masked() -> None:
    assert clients.masked("at http://me:pw@host/x, http://h/@", None) == (
        "at http://***@host/x, http://h/@"
    )
    assert clients.masked(f"{KEY}{KEY} {KEY[:-1]}", KEY) == f"****** {KEY[:-1]}"


def test_an_answer_keeps_words_that_are_no_secret() -> None:
    assert clients.masked_answer("EMPTY handed", "EMPTY") == "EMPTY handed"
    assert clients.masked_answer(f"it is {KEY}", KEY) == "it is ***"


@pytest.mark.usefixtures("dead_proxy")
def test_loopback_needs_no_proxy(tmp_path: Path) -> None:
    before = dict(os.environ)
    with running(own(), tmp_path / "log") as endpoint:
        assert _count_tokens(endpoint, [1, 2], 5) == (True, 2)
    assert dict(os.environ) == before


def test_a_server_elsewhere_is_asked_through_the_proxy(
    ours: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is sent no key but its own."""
    monkeypatch.setenv("HTTP_PROXY", ours.url)
    monkeypatch.setenv("TUNEBENCH_API_KEY", "left from elsewhere")
    server = Server(url="http://model.example", model="m")
    with running(server, tmp_path / "log") as endpoint, loaded(endpoint, tmp_path) as request:
        request()
    assert ours.seen == [
        ("http://model.example/health", None),
        ("http://model.example/v1/completions", None),
    ]


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1:80", True),
        ("[::1]:80", True),
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("a.localhost", True),
        ("0.0.0.0:1", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert clients.is_local(f"http://{host}/v1") is local
