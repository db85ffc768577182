"""A small Hub: the parts of its HTTP API that huggingface_hub and datasets use, on a real socket.

Repositories are dictionaries of path to bytes, one for each commit. Files that end as weights and
Parquet do are large files (LFS), with a SHA-256; the others are Git's own.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
LARGE = (".safetensors", ".parquet", ".bin")


@dataclass
class Repo:
    """One repository: its commits by name, and who may see it."""

    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False
    # what is sent in place of a file, whatever is stated of it
    sent: Files = field(default_factory=dict)

    def commit(self, files: Files) -> str:
        """Make `main` point to these files; the name of the commit."""
        digest = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[digest] = files
        self.refs["main"] = digest
        return digest

    def find(self, revision: str) -> str | None:
        """The commit of a branch or of a commit's name."""
        found = self.refs.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Trouble:
    """What goes wrong, `times` times, with a request whose line matches `pattern`."""

    pattern: str
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


@dataclass
class Request:
    """A request that came in."""

    line: str
    headers: dict[str, str]


class Hub:
    """The server's state; tests change it while it runs."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.troubles: list[Trouble] = []
        self.requests: list[Request] = []
        self.endpoint = ""

    def repo(self, kind: str, name: str, files: Files, **more: Any) -> Repo:
        """A new repository of one commit."""
        made = self.repos[f"{kind}s/{name}"] = Repo(**more)
        made.commit(files)
        return made

    def trouble(self, line: str) -> Trouble | None:
        """What shall go wrong with this request."""
        for trouble in self.troubles:
            if trouble.times > 0 and re.search(trouble.pattern, line):
                trouble.times -= 1
                return trouble
        return None

    def seen(self, part: str) -> list[Request]:
        """The requests whose line holds `part`."""
        return [request for request in self.requests if part in request.line]


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, Any]:
    """What a tree listing states of a file."""
    stated = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if path.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\n".encode()
        stated["oid"] = git_hash(pointer)
        stated["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
    return stated


class Handler(BaseHTTPRequestHandler):
    """Answers one request after another of one connection."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        line = f"{self.command} {self.path}"
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.requests.append(Request(line, headers))
        trouble = self.hub.trouble(line)
        if trouble is not None and trouble.status:
            self.answer(trouble.status, b"", trouble.headers)
            return
        self.cut_after = trouble.cut_after if trouble else None
        path = unquote(urlsplit(self.path).path).strip("/")
        api = path.startswith("api/")
        path = path.removeprefix("api/")
        if not api and not path.startswith("datasets/"):
            path = f"models/{path}"
        kind, owner, name, *rest = [*path.split("/"), "", ""]
        repo = self.hub.repos.get(f"{kind}/{owner}/{name}")
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token == "bad":
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif repo is None or (repo.token is not None and not repo.gated and token != repo.token):
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        else:
            self.serve(repo, f"{owner}/{name}", api, [part for part in rest if part], token)

    def serve(self, repo: Repo, name: str, api: bool, rest: list[str], token: str) -> None:
        what, *where = rest or ["revision", "main"]
        if what == "refs":
            branches = [
                {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": commit}
                for ref, commit in repo.refs.items()
            ]
            self.json({"branches": branches, "converts": [], "tags": []})
            return
        commit = repo.find(where[0] if where else "main")
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {where[0]}")
            return
        files = repo.commits[commit]
        if what == "revision":
            siblings = [{"rfilename": path} for path in files]
            self.json({"id": name, "sha": commit, "siblings": siblings, "gated": repo.gated})
        elif what == "tree":
            self.json([entry(path, content) for path, content in files.items()])
        elif what == "resolve" and not api:
            path = "/".join(where[1:])
            if repo.gated and token != repo.token:
                self.refuse(403 if token else 401, "GatedRepo", f"Access to {name} is restricted")
            elif path in files:
                self.file(files[path], repo.sent.get(path, files[path]), path, commit)
            else:
                self.refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        else:
            self.refuse(404, "", "Not found")

    def file(self, content: bytes, sent: bytes, path: str, commit: str) -> None:
        stated = entry(path, content)
        etag = stated.get("lfs", stated)["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if "lfs" in stated:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, sent, headers)
            return
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(sent) - 1}/{len(sent)}"
        self.answer(206, sent[start:], headers)

    def json(self, content: Any) -> None:
        self.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def refuse(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        told = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, b"", told | (headers or {}))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = getattr(self, "cut_after", None)
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub that answers until the block ends."""
    hub = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
