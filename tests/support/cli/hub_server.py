"""A Hugging Face Hub of one's own: the few endpoints that a pull uses, over real HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """A model's files at one commit; files over 1 kB are stored as large ones are."""

    commit: str
    files: dict[str, bytes]
    gated: bool = False

    def is_large(self, name: str) -> bool:
        return len(self.files[name]) > 1000

    def oid(self, name: str) -> str:
        content = self.files[name]
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def etag(self, name: str) -> str:
        if self.is_large(name):
            return hashlib.sha256(self.files[name]).hexdigest()
        return self.oid(name)

    def lfs(self, name: str) -> dict[str, Any] | None:
        if not self.is_large(name):
            return None
        size = len(self.files[name])
        return {"sha256": self.etag(name), "oid": self.etag(name), "size": size, "pointerSize": 130}


@dataclass
class FakeHub:
    """What the server serves and what it was asked for.

    ``cut_after`` breaks each connection that sends the named file after so many bytes,
    ``stall_after`` makes it silent then, until ``released``; ``claimed_bytes`` is the
    size that the listing states instead of the true one.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    stall_after: dict[str, int] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    claimed_bytes: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    status: int | None = None
    downloads: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serve_hub() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        if self.hub.status is not None:
            return self._json({"error": "out of order"}, status=self.hub.status)
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        name, rest = "/".join(parts[2:4] if is_api else parts[:2]), parts[4 if is_api else 2 :]
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._json({"error": "not found"}, status=404, code="RepoNotFound")
        if rest[1] not in ("main", repo.commit):
            return self._json({"error": "no revision"}, status=404, code="RevisionNotFound")
        match rest:
            case ["revision", _]:
                self._json(self._info(name, repo))
            case ["tree", _]:
                self._json([self._entry(repo, file) for file in repo.files])
            case ["resolve", _, *path]:
                self._file(repo, "/".join(path), with_body=with_body)

    def _info(self, name: str, repo: Repo) -> dict[str, Any]:
        siblings = [
            {
                "rfilename": file,
                "size": self.hub.claimed_bytes.get(file, len(content)),
                "blobId": repo.oid(file),
                **({"lfs": repo.lfs(file)} if repo.is_large(file) else {}),
            }
            for file, content in repo.files.items()
        ]
        return {"id": name, "sha": repo.commit, "private": False, "tags": [], "siblings": siblings}

    def _entry(self, repo: Repo, file: str) -> dict[str, Any]:
        entry = {
            "type": "file",
            "path": file,
            "size": len(repo.files[file]),
            "oid": repo.oid(file),
        }
        return entry | ({"lfs": repo.lfs(file)} if repo.is_large(file) else {})

    def _file(self, repo: Repo, file: str, *, with_body: bool) -> None:
        if repo.gated:
            return self._json({"error": "gated"}, status=403, code="GatedRepo")
        if file not in repo.files:
            return self._json({"error": "no file"}, status=404, code="EntryNotFound")
        content = repo.files[file]
        if file in self.hub.damaged:
            content = content[:-1] + b"?"
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{repo.etag(file)}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_body:
            self.hub.downloads.append((file, asked))
            self._send(file, content[start:])

    def _send(self, file: str, content: bytes) -> None:
        stall = self.hub.stall_after.get(file, len(content))
        part = content[: self.hub.cut_after.get(file)]
        with contextlib.suppress(ConnectionError):  # the other side may have left
            self.wfile.write(part[:stall])
            if stall < len(part):
                self.hub.released.wait(300)
            self.wfile.write(part[stall:])
        self.close_connection = self.close_connection or len(part) < len(content)

    def _json(self, value: object, *, status: int = 200, code: str | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
