"""Requests that are wrong as HTTP: each gets one answer or none, and the server goes on."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Iterator

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server, chat_body, post, running
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

BODY = chat_body()
SIZE = len(BODY)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY)
TRAILED = CHUNKED[:-2] + b"X-Checksum: 5:a\r\nContent-Length: 5\r\nY:\r\n\r\n"
NEXT = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""What a proxy may take for the end of a body, and this server for a request."""


def head(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, "Host: localhost", *headers, "", ""]).encode("latin-1")


def a_post(*headers: str, path: str = "/v1/chat/completions") -> bytes:
    return head(f"POST {path} HTTP/1.1", *headers)


REFUSED = [
    # Two lengths, or none that all would read alike.
    a_post(f"Content-Length: {SIZE}", "Transfer-Encoding: chunked") + CHUNKED + NEXT,
    a_post("Transfer-Encoding: chunked", f"Content-Length: {len(CHUNKED + NEXT)}") + CHUNKED + NEXT,
    a_post(f"Content-Length: {SIZE}", f"Content-Length: {SIZE + len(NEXT)}") + BODY + NEXT,
    a_post(f"Content-Length: {SIZE}, {SIZE}") + BODY + NEXT,
    a_post(f"Content-Length: {SIZE}", f"Content-Length : {SIZE + len(NEXT)}") + BODY + NEXT,
    head("GET /health HTTP/1.1", "Content-Length: 0", f"Content-Length: {len(NEXT)}") + NEXT,
    head("GET /health HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked") + NEXT,
    *(
        a_post(f"Content-Length: {value}") + BODY + NEXT
        for value in ("", "-5", f"+{SIZE}", f"1_{SIZE}", "0x5", "\xb2", f"{SIZE} 5", "9" * 5000)
    ),
    *(
        a_post(f"Transfer-Encoding: {value}") + CHUNKED + NEXT
        for value in ("gzip, chunked", "identity", "CHUNKED", "xchunked", "chunked, chunked")
    ),
    a_post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + CHUNKED + NEXT,
    a_post("Transfer-Encoding : chunked") + CHUNKED + NEXT,
    *(
        a_post("Transfer-Encoding: chunked") + chunks + NEXT
        for chunks in (
            b"zz\r\nab\r\n",
            b"-5\r\nab\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"1_0\r\nhellohellohellox\r\n0\r\n\r\n",
            *(
                b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (SIZE, BODY, trailer)
                for trailer in (
                    b"no colon",
                    b"X : y",
                    b" folded: y",
                    b"X: y\r\n folded",
                    b"X: a\0b",
                    b"X: a\nb",
                    b"GET / HTTP/1.1",
                    b"X: " + b"y" * 20_000,
                )
            ),
        )
    ),
    # Lines that are no headers, or a first line that is none.
    *(
        head("GET /health HTTP/1.1", line) + NEXT
        for line in ("X: a\0b", "X : a", ": a", "X: a\rY: b", " folded", "no colon", "X\0: a")
    ),
    *(
        head(first) + NEXT
        for first in (
            "GET /health",
            "GET /health HTTP/2.0",
            "PRI * HTTP/2.0",
            "GET /health HTTP/9.9",
            "GET  /health HTTP/1.1",
            "GET /hea\0lth HTTP/1.1",
            "GET /h\xe9alth HTTP/1.1",
            "CONNECT localhost:443 HTTP/1.1",
            "",
        )
    ),
]
ANSWERED = [
    (head("get /health HTTP/1.1"), 405),
    (head("G\0T /health HTTP/1.1"), 405),
    (head("OPTIONS * HTTP/1.1"), 405),
    (head("GET /v1/models/%zz%00%ff HTTP/1.1"), 404),
    (head("GET /v1/conversations/%2e%2e%2f/items/%00%0d%0aX HTTP/1.1"), 404),
    (head(f"GET /{'a' * 9000} HTTP/1.1"), 404),
    (head(f"GET /v1/responses/x/input_items?limit={'9' * 5000} HTTP/1.1"), 400),
    (head("GET /v1/responses/x?starting_after=no HTTP/1.1"), 400),
    (head(f"GET /v1/responses/x?stream=true&starting_after={'9' * 5000} HTTP/1.1"), 404),
    (head("GET /health HTTP/1.1", "Upgrade: h2c", "HTTP2-Settings: AAA"), 200),
    (head("GET /health HTTP/1.1", *(f"X{i}: y" for i in range(1500))), 200),
    (head("GET /health HTTP/1.1", "Cookie: =;;\xff", "Authorization: \xff", "Range: x"), 200),
    (head("DELETE /v1/responses/x HTTP/1.1", "Content-Length: 3") + b"abc", 404),
    (a_post("Content-Length: 2", path="/v1/responses/x/cancel") + b"\xff\xff", 404),
    (a_post(f"Content-Length: {SIZE}", "Expect: x") + BODY, 417),
    (a_post(f"Content-Length: {SIZE}", "Content-Type: \xff") + BODY, 415),
    (a_post("Content-Length: 99999999999999999999999999") + BODY, 413),
    (a_post(f"Content-Length: {SIZE - 5}") + BODY[:-5], 400),
    (a_post(), 400),
    (a_post("Transfer-Encoding: chunked") + CHUNKED, 200),
    (a_post("Transfer-Encoding: chunked", "Trailer: X") + TRAILED, 200),
    (a_post("Transfer-Encoding: chunked", "Connection: close") + TRAILED, 200),
    (a_post("Transfer-Encoding: chunked", path="/no") + TRAILED, 404),
    (a_post("Transfer-Encoding: chunked") + b"0" * 70_000 + b"5\r\nhello\r\n0\r\n\r\n", 400),
]
CUT = [
    b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + bytes(200),
    b"GET /health HTTP/1.1\nHost: localhost\n\n",
    head("GET /health HTTP/1.1")[:-2],
    head("GET /health HTTP/1.1"),
    a_post(f"Content-Length: {SIZE}") + BODY,
    a_post(f"Content-Length: {SIZE}") + BODY[:-5],
    a_post(f"Content-Length: {SIZE + 50}") + BODY,
    a_post("Transfer-Encoding: chunked") + CHUNKED[:20],
    a_post("Transfer-Encoding: chunked") + b"5",
    a_post("Transfer-Encoding: chunked") + b"FFFFFFFFFFFFFFFF\r\nab\r\n",
    a_post(f"Content-Length: {SIZE}", "Expect: 100-continue"),
]


@pytest.fixture(scope="module")
def server(encoding: Encoding) -> Iterator[Server]:
    backend = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: backend, lambda: encoding) as server:
        yield server


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of one answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    answer, _, body = received.partition(b"\r\n\r\n")
    size = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < size:
        body += connection.recv(65536)
    return answer, body


def read_the_rest(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection, gently or not."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionError:
        pass
    return received


def test_what_is_no_request_gets_one_answer_and_no_second_chance(server: Server) -> None:
    for sent in REFUSED:
        with server.connect() as connection:
            connection.sendall(sent)
            answer, body = receive(connection)
            assert answer.startswith(b"HTTP/1.1 400 "), sent
            assert json.loads(body)["error"]["type"] == "invalid_request_error"
            assert read_the_rest(connection) == b"", sent


def test_odd_requests_are_answered(server: Server) -> None:
    for sent, status in ANSWERED:
        with server.connect() as connection:
            connection.sendall(sent)
            answer, body = receive(connection)
            assert answer.startswith(b"HTTP/1.1 %d " % status), (sent[:200], answer)
            assert ("error" in json.loads(body)) is (status != 200)


def test_connections_that_end_too_soon(server: Server) -> None:
    for sent in CUT:
        with server.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 5" not in read_the_rest(connection)
        with server.connect() as connection:
            connection.sendall(sent)
            # Closing resets the connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ask(server, "GET", "/health").status == 200
    until(lambda: ask(server, "GET", "/health").json["active_requests"] == 0)
    assert post(server, BODY).status == 200


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    chat = a_post(f"Content-Length: {SIZE}") + BODY
    wrong = a_post("Content-Length: 2") + b"no"
    gone = head("GET /no HTTP/1.1")
    with server.connect() as connection:
        connection.sendall((chat + gone + wrong + NEXT) * 20)
        connection.sendall(head("GET /health HTTP/1.1", "Connection: close"))
        received = read_the_rest(connection)
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 400, 200] * 20 + [200]


def test_a_trailer_is_left_out_and_the_connection_goes_on(server: Server) -> None:
    trailed = a_post("Transfer-Encoding: chunked") + TRAILED
    with server.connect() as connection:
        for byte in trailed:
            connection.sendall(bytes([byte]))
        connection.sendall(trailed + head("GET /health HTTP/1.1", "Connection: close"))
        received = read_the_rest(connection)
    assert [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]] == [200, 200, 200]


LONG = [
    b"GET /health HTTP/1.1\r\n" + b"X: " + b"y" * 5_000_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 5_000_000,
    a_post(f"Content-Length: {5_000_000}", f"Cookie: {'x' * 16_384}") + b"a" * 5_000_000,
]


@pytest.mark.parametrize("sent", LONG, ids=["a header", "a URL", "a body behind it"])
def test_who_sends_a_long_head_can_read_why_it_is_refused(server: Server, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        answer, body = receive(connection)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
        assert b"connection: close" in answer.lower()
        assert json.loads(body)["error"]["code"] == "request_head_too_large"
        assert connection.recv(65536) == b""
    until(lambda: ask(server, "GET", "/health").status == 200)


def test_who_sends_much_behind_a_wrong_head_can_read_why(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(a_post("Content-Length: 5_000_000") + b"a" * 5_000_000)
        assert receive(connection)[0].startswith(b"HTTP/1.1 400 ")
        assert connection.recv(65536) == b""


def test_a_refused_client_that_stays_is_cut_off(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/9.9\r\n\r\n")
        until(lambda: not server.app.ctx.connections)


def test_tls_on_a_plain_port_is_closed_at_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context()
    with server.connect() as connection, pytest.raises(OSError, match=r"EOF|reset"):
        context.wrap_socket(connection, server_hostname="localhost")
    with server.connect() as connection:
        connection.sendall(b"\x16")
        assert connection.recv(10) == b""
    said = [record.getMessage() for record in caplog.records if "TLS" in record.getMessage()]
    assert len(said) == 2
    assert "http://" in said[0]
    assert ask(server, "GET", "/health").status == 200


def test_the_first_byte_of_tls_may_be_in_a_body(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(a_post("Content-Length: 3"))
        until(lambda: bool(server.app.ctx.connections))
        connection.sendall(b"\x16\x03\x01")
        answer, body = receive(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "invalid_json"
