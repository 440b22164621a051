"""``mlxoss chat`` against scripted servers on real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.config import Config
from tests.support.cli.runner import environment, mlxoss, on_a_terminal
from tests.support.cli.scripted_server import serve
from tests.support.server.response_events import DONE, ended, event, failed, reasoned, said

ANSWER = b"".join(
    (
        b": heartbeat\n\n",
        event("response.created", response={"status": "in_progress", "error": None}),
        reasoned("They greet"),
        reasoned(" me."),
        said("Grüße"),
        said(" \x1b[31m👋"),
        ended(),
    )
)


def test_in_a_pipe_only_the_answer_is_printed_as_it_is(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        done = mlxoss(tmp_path, "chat", "Hello", "there", "--url", server.url)
    assert done.stdout == "Grüße \x1b[31m👋\n"
    assert done.stderr == ""
    assert done.returncode == 0
    [(path, body)] = server.asked
    assert path == "/v1/responses"
    assert body["input"] == [{"type": "message", "role": "user", "content": "Hello there"}]
    assert body["stream"] is True
    assert body["store"] is False
    assert "reasoning" not in body


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
    contents = [body["input"][0]["content"] for _, body in server.asked]
    assert contents == ["Explain:\n\nx = 1\nÿ", "only \ufffd this"]
    assert {path for path, _ in server.asked} == {"/v1/responses"}


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
    assert [each["content"] for each in server.asked[0][1]["input"]] == ["Hello"]


def test_reasoning_without_an_answer_ends_its_line(tmp_path: Path) -> None:
    with serve(reasoned("Hm") + ended()) as server:
        shown = on_a_terminal(tmp_path, ["chat", "Hello", "--url", server.url], {"NO_COLOR": "1"})
    assert shown == "Hm\n"


def test_effort_is_passed_on(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        mlxoss(tmp_path, "chat", "hi", "--effort", "high", "--url", server.url)
    assert server.asked[0][1]["reasoning"] == {"effort": "high"}


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
    with serve(said("I") + ended(reason="max_output_tokens")) as server:
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
    (200, said("Hm"), "Hm\n", "The answer broke off: the server closed the connection."),
    (200, said("Hm") + DONE, "Hm\n", "The answer broke off: the server did not say how it ended."),
    (200, said("Hm") + failed("it broke") + DONE, "Hm\n", "The server failed: it broke"),
    (
        200,
        said("Hm") + event("error", code="x", message="it broke", param=None) + DONE,
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
