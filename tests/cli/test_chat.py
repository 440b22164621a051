"""``mlxoss chat`` against scripted servers on real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlxoss.config import Config
from tests.support.cli.runner import environment, mlxoss


class Server(ThreadingHTTPServer):
    """Answers every request with ``answer`` and keeps what it was asked."""

    def __init__(self, answer: bytes, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.status = status
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(self.server.answer), 7):  # cuts lines and characters apart
            piece = self.server.answer[start : start + 7]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def serve(answer: bytes, status: int = 200) -> Iterator[Server]:
    server = Server(answer, status)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chunk(finish_reason: str | None = None, **delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ANSWER = b"".join(
    (
        b": heartbeat\n\n",
        chunk(role="assistant"),
        chunk(reasoning="They greet", reasoning_content="They greet"),
        chunk(reasoning=" me.", reasoning_content=" me."),
        chunk(content="Grüße"),
        chunk(content=" \x1b[31m👋"),
        chunk(finish_reason="stop"),
        b'data: {"choices": [], "usage": {}}\n\n',
        DONE,
    )
)


def test_in_a_pipe_only_the_answer_is_printed_as_it_is(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        done = mlxoss(tmp_path, "chat", "Hello", "there", "--url", server.url)
    assert done.stdout == "Grüße \x1b[31m👋\n"
    assert done.stderr == ""
    assert done.returncode == 0
    [(path, body)] = server.asked
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Hello there"}]
    assert body["stream"] is True
    assert "reasoning_effort" not in body


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_reasoning_is_dimmed_and_controls_are_left_out(
    tmp_path: Path, no_color: bool
) -> None:
    env = {"NO_COLOR": "1"} if no_color else {"NO_COLOR": ""}
    with serve(ANSWER) as server:
        shown = on_a_terminal(tmp_path, ["chat", "Hello", "--url", server.url], env)
    dim, plain = ("", "") if no_color else ("\x1b[2m", "\x1b[0m")
    reasoning = f"{dim}They greet{plain}{dim} me.{plain}"
    assert shown == f"{reasoning}\n\nGrüße [31m👋\n"


def test_piped_input_is_put_below_the_question(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        mlxoss(tmp_path, "chat", "Explain:", "--url", server.url, stdin="x = 1\n\xff".encode())
        mlxoss(tmp_path, "chat", "--url", server.url + "/v1/", stdin=b"only \xff this\n")
    contents = [body["messages"][0]["content"] for _, body in server.asked]
    assert contents == ["Explain:\n\nx = 1\nÿ", "only \ufffd this"]
    assert {path for path, _ in server.asked} == {"/v1/chat/completions"}


@pytest.mark.parametrize(
    ("piped", "words"),
    [(b"\x7fELF\0\1", "iconv"), (b"y\n" * 5_000_001, "head -c"), (b" \n", "nothing to ask")],
)
def test_input_that_is_no_question_is_refused(tmp_path: Path, piped: bytes, words: str) -> None:
    done = mlxoss(tmp_path, "chat", "--url", "http://127.0.0.1:9", stdin=piped)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_input_is_none(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m mlxoss chat Hello --url {server.url} <&-"],
            env=environment(tmp_path), capture_output=True, timeout=300, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.asked[0][1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_reasoning_without_an_answer_ends_its_line(tmp_path: Path) -> None:
    answer = chunk(reasoning="Hm") + chunk(finish_reason="stop") + DONE
    with serve(answer) as server:
        shown = on_a_terminal(tmp_path, ["chat", "Hello", "--url", server.url], {"NO_COLOR": "1"})
    assert shown == "Hm\n"


def test_effort_is_passed_on(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        mlxoss(tmp_path, "chat", "hi", "--effort", "high", "--url", server.url)
    assert server.asked[0][1]["reasoning_effort"] == "high"


def test_the_server_of_the_configuration_is_asked(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        env = {"MLXOSS_PORT": str(server.server_port), "MLXOSS_HOST": "0.0.0.0"}
        assert mlxoss(tmp_path, "chat", "hi", env=env).returncode == 0
    assert len(server.asked) == 1


def test_nothing_to_ask_is_wrong_usage(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "chat")
    assert done.returncode == 2
    assert done.stderr == 'mlxoss: There is nothing to ask; try: mlxoss chat "Hello!"\n'


def test_an_answer_cut_off_says_so(tmp_path: Path) -> None:
    with serve(chunk(content="I") + chunk(finish_reason="length") + DONE) as server:
        done = mlxoss(tmp_path, "chat", "hi", "--url", server.url)
    assert done.returncode == 0
    assert done.stdout == "I\n"
    assert done.stderr.strip() == "(cut off at the limit of tokens)"


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "code": None}}).encode()


FAILURES = [
    (400, error("too long"), "", "The server refused: too long"),
    (401, error("no"), "", "The server refused: no Then: export MLXOSS_API_KEY=KEY\n"),
    (502, b"<html>", "", "The server refused: HTTP 502 Bad Gateway"),
    (200, chunk(content="Hm"), "Hm\n", "The answer broke off: the server closed the connection."),
    (
        200,
        chunk(content="Hm") + b"event: error\ndata: " + error("it broke") + b"\n\n" + DONE,
        "Hm\n",
        "The server failed: it broke",
    ),
    (200, b"data: {\n\n", "", "The answer broke off: Expecting property name"),
]


@pytest.mark.parametrize(("status", "answer", "out", "sentence"), FAILURES)
def test_failures_are_one_sentence(
    tmp_path: Path, status: int, answer: bytes, out: str, sentence: str
) -> None:
    with serve(answer, status) as server:
        done = mlxoss(tmp_path, "chat", "hi", "--url", server.url)
    assert done.returncode == 1
    assert done.stdout == out
    assert done.stderr.startswith(f"mlxoss: {sentence}")
    assert done.stderr.count("\n") == 1


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "chat", "hi", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr == ("mlxoss: No server at http://127.0.0.1:9; start it with: mlxoss serve\n")


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:port", "http://h:0", "//"])
def test_a_bad_url_is_wrong_usage(tmp_path: Path, url: str) -> None:
    done = mlxoss(tmp_path, "chat", "hi", "--url", url)
    assert done.returncode == 2
    assert done.stderr.startswith("mlxoss: --url must be like http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("my-mac.local", "http://my-mac.local:80"),
    ],
)
def test_how_a_client_reaches_a_host(host: str, url: str) -> None:
    assert Config(host=host, port=80).url == url


def on_a_terminal(home: Path, arguments: list[str], env: dict[str, str]) -> str:
    """What ``mlxoss`` shows on a terminal of its own."""
    own, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlxoss", *arguments],
        env=environment(home, env),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal with EIO
        while piece := os.read(own, 4096):
            shown += piece
    os.close(own)
    assert process.wait(300) == 0
    return shown.decode().replace("\r\n", "\n")
