"""One server on several listeners: both loopback addresses, a unix socket, TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect, unix_connect
from websockets.typing import Origin

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.server.http.listeners import open_listeners
from mlxoss.service.health import Answered, Foreign, Silent, probe
from mlxoss.sockets import bind_unix, port_problem
from tests.server.conftest import Serve
from tests.support.certificates import Pair, make_pair
from tests.support.server.harness import chat_body
from tests.support.server.scripts import HELLO

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
JSON = {"content-type": "application/json"}


def talk(connection: socket.socket, request: bytes) -> bytes:
    """The whole answer to a request that closes the connection."""
    received = b""
    with connection:
        connection.settimeout(120)
        connection.sendall(request)
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.skipif(port_problem("::1", 0) is not None, reason="this machine has no IPv6")
def test_clients_that_try_ipv6_first_find_it(serve: Serve) -> None:
    server = serve(HELLO, config=Config(max_connections=2))
    opened = []
    for address in ("::1", "127.0.0.1", "::1"):
        connection = socket.create_connection((address, server.port), timeout=120)
        opened.append(connection)
        connection.sendall(HEALTH)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    # The bound on connections is that of all listeners together.
    assert opened[0].recv(65536) == b""
    for connection in opened:
        connection.close()
    client = openai.OpenAI(base_url=f"http://[::1]:{server.port}/v1", api_key="none")
    with client:
        assert client.models.list().data


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("my-app", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(str(self._path))


def over_unix(
    path: Path, method: str, target: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any]:
    """An answer's status and JSON."""
    connection = UnixConnection(path)
    try:
        connection.request(method, target, body, {**JSON, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_unix_socket_besides(serve: Serve, tmp_path: Path, short_path: Path) -> None:
    path = short_path / "socket"
    server = serve(HELLO, config=Config(unix_socket=path), folder=tmp_path)
    chat = ("POST", "/v1/chat/completions", chat_body())
    for host in ("localhost", "my-app", "unix", "evil.example:80", "%2Ftmp%2Fsocket"):
        assert over_unix(path, "GET", "/health", Host=host)[0] == 200
    assert over_unix(path, *chat)[0] == 200
    with unix_connect(str(path), "ws://any/v1/responses"):
        pass
    for origin in ("https://evil.example", "http://evil.example", "null"):
        status, answer = over_unix(path, *chat, Host="evil.example", Origin=origin)
        assert (status, answer["error"]["code"]) == (403, "origin_not_allowed")
        with pytest.raises(InvalidStatus):
            unix_connect(str(path), "ws://evil.example/v1/responses", origin=Origin(origin))
    for hosts in ("", "Host: a\r\nHost: b\r\n"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        answered = talk(
            client, f"GET /health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode()
        )
        assert answered.startswith(b"HTTP/1.1 403")
    token = create_key(tmp_path, "laptop", 0)
    assert over_unix(path, *chat)[0] == 401
    assert over_unix(path, "GET", "/health") == (200, {"status": "ok"})
    assert over_unix(path, *chat, Authorization=f"Bearer {token}")[0] == 200
    assert isinstance(probe("localhost", server.port, timeout_s=10), Answered)


def test_its_file_goes_with_it_but_no_other(short_path: Path) -> None:
    path = short_path / "socket"
    config = Config(port=0, unix_socket=path)
    with open_listeners(config) as listeners:
        assert listeners[-1].url == f"unix:{path}"
        assert path.exists()
    assert not path.exists()
    with open_listeners(config):
        path.unlink()
        other = bind_unix(path)
    assert path.exists()
    other.close()
    with open_listeners(config):
        path.unlink()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path / "tls")


@pytest.fixture
def trust(pair: Pair) -> ssl.SSLContext:
    """A client's that knows the certificate's signer and checks the name."""
    return ssl.create_default_context(cafile=str(pair.certificate))


def test_https(serve: Serve, pair: Pair, trust: ssl.SSLContext, short_path: Path) -> None:
    config = Config(tls_cert=pair.certificate, tls_key=pair.key, unix_socket=short_path / "socket")
    server = serve(HELLO, config=config)
    base = f"https://localhost:{server.port}"
    http_client = openai.DefaultHttpxClient(verify=trust)
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", http_client=http_client) as client:
        asked: Any = {"model": "x", "messages": [{"role": "user", "content": "Hello!"}]}
        whole = client.chat.completions.create(**asked).choices[0].message.content
        chunks = list(client.chat.completions.create(**asked, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    for origin, is_let_in in [(base, True), (f"http{base[5:]}", False)]:
        connection = http.client.HTTPSConnection("localhost", server.port, context=trust)
        connection.request("GET", "/health", headers={"Origin": origin})
        assert (connection.getresponse().status == 200) is is_let_in
        connection.close()
    with connect(f"wss://localhost:{server.port}/v1/responses", ssl=trust):
        pass
    assert over_unix(short_path / "socket", "GET", "/health")[0] == 200


def test_who_does_not_speak_tls_gets_no_answer(
    serve: Serve, pair: Pair, tmp_path: Path, trust: ssl.SSLContext
) -> None:
    server = serve(HELLO, config=Config(tls_cert=pair.certificate, tls_key=pair.key))
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in talk(server.connect(), HEALTH)
    silent = server.connect()  # it only waits
    plain = probe("127.0.0.1", server.port, timeout_s=10)
    assert not isinstance(plain, Answered)
    other = make_pair(tmp_path / "other")
    stranger = probe("127.0.0.1", server.port, timeout_s=10, certificate=other.certificate)
    assert isinstance(stranger, Foreign)
    assert "tls_cert" in stranger.why
    gone = probe("127.0.0.1", server.port, certificate=tmp_path / "gone.pem")
    assert isinstance(gone, Foreign)
    assert "gone.pem cannot be read" in gone.why
    silent.close()
    # Last, so that the server has seen the silent one go before its loop ends.
    known = probe("127.0.0.1", server.port, timeout_s=10, certificate=pair.certificate)
    assert isinstance(known, Answered)


def test_tls_to_a_server_without(serve: Serve, pair: Pair) -> None:
    server = serve(HELLO)
    found = probe("127.0.0.1", server.port, timeout_s=10, certificate=pair.certificate)
    assert isinstance(found, Foreign | Silent)
    assert isinstance(probe("127.0.0.1", server.port, timeout_s=10), Answered)
